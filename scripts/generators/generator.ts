/** A checked-in file that is written by code, so that a change of its source is a reviewed diff of the file. */
export interface Generator {
  /** From the root of the repository. */
  readonly path: string;
  /** The whole text of the file, the same for the same sources: no times, no machine, no order of chance. */
  readonly produce: () => Promise<string>;
}

/** A folder of such files: all that is in it is written by code, and a file that is no longer written is removed. */
export interface FolderGenerator {
  /** From the root of the repository. */
  readonly folder: string;
  /** The texts of its files, by their path within the folder. */
  readonly produceFiles: () => Promise<ReadonlyMap<string, string>>;
}

/** First line of generated Markdown: tells a reader where to make the change instead. */
export function generatedFrom(source: string): string {
  return `<!-- Generated from ${source} by \`npm run generate\`. Change it there. -->\n`;
}

/** A cell of a Markdown table: one line, its bars escaped. */
export function tableCell(text: string): string {
  return text.replaceAll("|", "\\|").replaceAll("\n", " ");
}
