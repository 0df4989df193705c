import type { Command } from "commander";
import { exitCodes } from "@flowcatalyst/foundation";
import {
  signWebhook,
  verifyWebhook,
  webhookToleranceSeconds,
  type RefusalReason,
  type Verification,
} from "@flowcatalyst/sdk";
import { readText, wholeNumber } from "../arguments.ts";
import { contextOf, usageError, withExamples, type Environment } from "../context.ts";

interface SignatureOptions {
  readonly secret: string;
  readonly id: string;
  readonly timestamp?: number;
  readonly signature?: string;
  readonly tolerance: number;
}

const msPerSecond = 1_000;
const bodyHelp = "the body, exactly as it is sent; @FILE reads a file, - reads standard input";

/** `signature sign|verify`: what a receiver does, by hand. Needs no server. */
export function addSignatureCommands(program: Command, environment: Environment): void {
  const group = program
    .command("signature")
    .summary("sign or verify a webhook by hand")
    .description("Webhook signatures of the Standard Webhooks scheme, by hand. Needs no server.");
  addSign(group, environment);
  addVerify(group, environment);
}

function addSign(group: Command, environment: Environment): void {
  const sign = group
    .command("sign")
    .summary("print the headers that sign a body")
    .argument("<body>", bodyHelp)
    .requiredOption("--secret <secret>", "whsec_ and base64")
    .option("--id <id>", "webhook-id", "msg_1")
    .option("--timestamp <seconds>", "webhook-timestamp; now if absent", wholeNumber)
    .action(async (given: string, options: SignatureOptions, command: Command) => {
      const { terminal } = contextOf(command, environment);
      const body = await readText(given, environment);
      const timestamp = options.timestamp ?? Math.floor(Date.now() / msPerSecond);
      const signature = await withSecret(() => signWebhook(options.secret, { id: options.id, timestamp, body }));
      const headers = {
        "webhook-id": options.id,
        "webhook-timestamp": String(timestamp),
        "webhook-signature": signature,
      };
      terminal.answer(headers, () =>
        Object.entries(headers)
          .map(([name, value]) => `${name}: ${value}`)
          .join("\n"),
      );
    });
  withExamples(sign, [
    `flowcatalyst signature sign '{"a":1}' --secret whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw --timestamp 1614265330`,
  ]);
}

function addVerify(group: Command, environment: Environment): void {
  const verify = group
    .command("verify")
    .summary("check a signature; exit code 1 if it does not verify")
    .argument("<body>", bodyHelp)
    .requiredOption("--secret <secret>", "whsec_ and base64")
    .requiredOption("--signature <signature>", "webhook-signature")
    .option("--id <id>", "webhook-id", "msg_1")
    .requiredOption("--timestamp <seconds>", "webhook-timestamp", wholeNumber)
    .option("--tolerance <seconds>", "how far it may be from now; 0: any", wholeNumber, webhookToleranceSeconds)
    .action(async (given: string, options: SignatureOptions, command: Command) => {
      const { terminal } = contextOf(command, environment);
      const body = await readText(given, environment);
      const { id, signature = "", timestamp, tolerance, secret } = options;
      const headers = { "webhook-id": id, "webhook-timestamp": String(timestamp), "webhook-signature": signature };
      const toleranceSeconds = tolerance === 0 ? Infinity : tolerance;
      const verification = await withSecret(() => verifyWebhook({ headers, body }, secret, { toleranceSeconds }));
      const { kind } = verification;
      const answer = kind === "verified" ? { kind } : { kind, reason: verification.reason };
      terminal.answer(answer, () => verdict(verification));
      process.exitCode = verification.kind === "verified" ? exitCodes.ok : exitCodes.failed;
    });
  withExamples(verify, [
    `flowcatalyst signature verify '{"test": 2432232314}' --secret whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw ` +
      "--id msg_p5jXN8AQM9LWM0D4loKWxJek --timestamp 1614265330 " +
      "--signature v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE= --tolerance 0",
  ]);
}

const reasons: Readonly<Partial<Record<RefusalReason, string>>> = {
  MISSING_HEADERS: "id, timestamp or signature is empty",
  TOO_OLD: "the timestamp is too old; --tolerance 0 leaves that out",
  TOO_NEW: "the timestamp is in the future; --tolerance 0 leaves that out",
};

function verdict(verification: Verification): string {
  if (verification.kind === "verified") return "the signature verifies";
  const { reason, message } = verification;
  return `refused: ${reasons[reason] ?? message} (${reason})`;
}

async function withSecret<Answer>(use: () => Promise<Answer>): Promise<Answer> {
  try {
    return await use();
  } catch (error) {
    if (error instanceof TypeError) throw usageError(`--secret: ${error.message}`);
    throw error;
  }
}
