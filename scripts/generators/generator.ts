/** A checked-in file that is written by code, so that a change of its source is a reviewed diff of the file. */
export interface Generator {
  /** From the root of the repository. */
  readonly path: string;
  /** The whole text of the file, the same for the same sources: no times, no machine, no order of chance. */
  readonly produce: () => Promise<string>;
}

/** First line of generated Markdown: tells a reader where to make the change instead. */
export function generatedFrom(source: string): string {
  return `<!-- Generated from ${source} by \`npm run generate\`. Change it there. -->\n`;
}

/** A cell of a Markdown table: one line, its bars escaped. */
export function tableCell(text: string): string {
  return text.replaceAll("|", "\\|").replaceAll("\n", " ");
}
