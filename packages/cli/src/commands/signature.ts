import type { Command } from "commander";
import { exitCodes } from "@flowcatalyst/foundation";
import { signWebhook, verifyWebhook } from "@flowcatalyst/sdk";
import { contextOf, withExamples, type Environment } from "../context.ts";

interface SignatureOptions {
  readonly secret: string;
  readonly id: string;
  readonly timestamp?: string;
  readonly signature?: string;
  readonly tolerance: string;
}

/** `signature sign|verify`: what a receiver does, by hand. Needs no server. */
export function addSignatureCommands(program: Command, environment: Environment): void {
  const group = program
    .command("signature")
    .summary("sign or verify a webhook by hand")
    .description("Webhook signatures.");
  const sign = group
    .command("sign")
    .summary("print the headers that sign a body")
    .argument("<body>", "the body; - for standard input")
    .requiredOption("--secret <secret>", "whsec_ and base64")
    .option("--id <id>", "webhook-id", "msg_1")
    .option("--timestamp <seconds>", "webhook-timestamp; now if absent")
    .action(async (body: string, options: SignatureOptions, command: Command) => {
      const { terminal } = contextOf(command, environment);
      const text = body === "-" ? await environment.readInput() : body;
      const timestamp = options.timestamp === undefined ? Math.floor(Date.now() / 1000) : Number(options.timestamp);
      const signature = await signWebhook(options.secret, { id: options.id, timestamp, body: text });
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

  const verify = group
    .command("verify")
    .summary("check a signature; exit code 1 if it does not verify")
    .argument("<body>", "the body; - for standard input")
    .requiredOption("--secret <secret>", "whsec_ and base64")
    .requiredOption("--signature <signature>", "webhook-signature")
    .option("--id <id>", "webhook-id", "msg_1")
    .requiredOption("--timestamp <seconds>", "webhook-timestamp")
    .option("--tolerance <seconds>", "how far the timestamp may be from now; 0: any", "300")
    .action(async (body: string, options: SignatureOptions, command: Command) => {
      const { terminal } = contextOf(command, environment);
      const text = body === "-" ? await environment.readInput() : body;
      const tolerance = Number(options.tolerance);
      const headers = { id: options.id, timestamp: options.timestamp ?? "", signature: options.signature ?? "" };
      const verification = await verifyWebhook(text, headers, {
        secrets: [options.secret],
        toleranceSeconds: tolerance === 0 ? Infinity : tolerance,
      });
      terminal.answer(verification, () =>
        verification.kind === "verified" ? "the signature verifies" : `refused: ${verification.reason}`,
      );
      process.exitCode = verification.kind === "verified" ? exitCodes.ok : exitCodes.failed;
    });
  withExamples(verify, [
    `flowcatalyst signature verify '{"test": 2432232314}' --secret whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw ` +
      "--id msg_p5jXN8AQM9LWM0D4loKWxJek --timestamp 1614265330 " +
      "--signature v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE= --tolerance 0",
  ]);
}
