import { expect, test } from "bun:test";
import { parseAmqpUrl } from "./amqp-address.ts";

const faultOf = (url: string): string => {
  try {
    return `none: ${parseAmqpUrl(url).host}`;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
};

test("a password that does not fit into a URL is not shown, nor half of it", () => {
  for (const url of [
    "amqp://u:12/s3cret@h/Q",
    "amqp://u:12?s3cret@h/Q",
    "amqp://u:12#s3cret@h/Q",
    "amqp://u:s3cret#x@h/Q",
    "amqp://u:s3cret/x@h/Q",
    "amqp://u:12/s3cret#h",
  ]) {
    const fault = faultOf(url);
    expect(fault).toStartWith("the address of the queue");
    expect(fault).not.toContain("s3cret");
  }
  expect(faultOf("amqp://u:12%2Fs3cret@h/Q")).toBe("none: h");
});
