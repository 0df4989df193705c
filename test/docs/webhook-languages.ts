import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/**
 * How the verifiers of docs/guides/verifying-webhooks.md are run, each in its language.
 *
 * The program around a verifier reads a line per webhook, with tabs between its fields (time, body in base64, secrets
 * with commas between, id, timestamp, signature), and prints true or false for each.
 */
export interface WebhookLanguage {
  /** As the fence of the guide says it. */
  readonly language: string;
  /** The tools that must be found; the test of a language without them is skipped, by its name. */
  readonly tools: readonly string[];
  /** Tried beforehand; the test is skipped as well when it fails. It brings the libraries that the program needs. */
  readonly libraries?: readonly string[];
  /** What makes the program out of its files, if anything must. */
  readonly build?: readonly string[];
  readonly run: readonly string[];
  /** The files of the program; the guide's code is one of them. */
  readonly files: (code: string) => Readonly<Record<string, string>>;
}

export function writeProgram({ files }: WebhookLanguage, code: string, into: string): void {
  for (const [path, text] of Object.entries(files(code))) {
    mkdirSync(join(into, path, ".."), { recursive: true });
    writeFileSync(join(into, path), text);
  }
}

const nodeProgram = `import { createInterface } from "node:readline";
import { verifies } from "./verify.mjs";
for await (const line of createInterface({ input: process.stdin })) {
  const [now, body, secrets, id, timestamp, signature] = line.split("\\t");
  const webhook = { body: Buffer.from(body, "base64"), id, timestamp, signature };
  console.log(verifies({ ...webhook, secrets: secrets.split(","), now: Number(now) }));
}
`;

const pythonProgram = `import base64
import sys
from verify import verifies

for line in sys.stdin:
    now, body, secrets, id, timestamp, signature = line.rstrip("\\n").split("\\t")
    answer = verifies(base64.b64decode(body), id, timestamp, signature, secrets.split(","), int(now))
    print(str(answer).lower())
`;

const goProgram = `package main

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"os"
	"strconv"
	"strings"

	"example.test/webhook"
)

func main() {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		f := strings.Split(lines.Text(), "\\t")
		now, _ := strconv.ParseInt(f[0], 10, 64)
		body, _ := base64.StdEncoding.DecodeString(f[1])
		fmt.Println(webhook.Verifies(body, f[3], f[4], f[5], strings.Split(f[2], ","), now))
	}
}
`;

const javaProgram = `import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.Base64;
import java.util.List;

public final class Main {
  public static void main(String[] arguments) throws Exception {
    BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      String[] f = line.split("\\t", -1);
      byte[] body = Base64.getDecoder().decode(f[1]);
      System.out.println(
          Webhooks.verifies(body, f[3], f[4], f[5], List.of(f[2].split(",")), Long.parseLong(f[0])));
    }
  }
}
`;

const rustManifest = `[package]
name = "verify"
version = "0.1.0"
edition = "2021"

[dependencies]
base64 = "=0.22.1"
hmac = "=0.12.1"
sha2 = "=0.10.9"
`;

const rustProgram = `mod verify;

use base64::{engine::general_purpose::STANDARD, Engine};
use std::io::BufRead;

fn main() {
    for line in std::io::stdin().lock().lines() {
        let line = line.unwrap();
        let f: Vec<&str> = line.split('\\t').collect();
        let body = STANDARD.decode(f[1]).unwrap();
        let secrets: Vec<&str> = f[2].split(',').collect();
        println!("{}", verify::verifies(&body, f[3], f[4], f[5], &secrets, f[0].parse().unwrap()));
    }
}
`;

const phpProgram = `<?php
require __DIR__ . '/verify.php';
while (($line = fgets(STDIN)) !== false) {
    [$now, $body, $secrets, $id, $timestamp, $signature] = explode("\\t", rtrim($line, "\\n"));
    $answer = verifies(base64_decode($body), $id, $timestamp, $signature, explode(',', $secrets), (int) $now);
    echo $answer ? "true\\n" : "false\\n";
}
`;

const rubyProgram = `require_relative "verify"
$stdin.each_line(chomp: true) do |line|
  now, body, secrets, id, timestamp, signature = line.split("\\t", -1)
  webhook = { body: body.unpack1("m0"), id: id, timestamp: timestamp, signature: signature }
  puts verifies(**webhook, secrets: secrets.split(","), now: now.to_i)
end
`;

const csharpProgram = `using System;
string line;
while ((line = Console.ReadLine()) != null)
{
    string[] f = line.Split('\\t');
    bool answer = Webhooks.Verifies(
        Convert.FromBase64String(f[1]), f[3], f[4], f[5], f[2].Split(','), long.Parse(f[0]));
    Console.WriteLine(answer ? "true" : "false");
}
`;

const csharpProject = `<Project Sdk="Microsoft.NET.Sdk">
  <PropertyGroup><OutputType>Exe</OutputType><TargetFramework>net8.0</TargetFramework></PropertyGroup>
</Project>
`;

export const webhookLanguages: readonly WebhookLanguage[] = [
  {
    language: "js",
    tools: ["node"],
    run: ["node", "main.mjs"],
    files: (code) => ({ "verify.mjs": code, "main.mjs": nodeProgram }),
  },
  {
    language: "python",
    tools: ["python3"],
    run: ["python3", "main.py"],
    files: (code) => ({ "verify.py": code, "main.py": pythonProgram }),
  },
  {
    language: "go",
    tools: ["go"],
    run: ["go", "run", "."],
    files: (code) => ({
      "webhook/webhook.go": code,
      "main.go": goProgram,
      "go.mod": "module example.test\n\ngo 1.21\n",
    }),
  },
  {
    language: "java",
    tools: ["javac", "java"],
    build: ["javac", "Webhooks.java", "Main.java"],
    run: ["java", "-cp", ".", "Main"],
    files: (code) => ({ "Webhooks.java": code, "Main.java": javaProgram }),
  },
  {
    language: "rust",
    tools: ["cargo"],
    libraries: ["cargo", "fetch"],
    run: ["cargo", "run", "--quiet"],
    files: (code) => ({ "src/verify.rs": code, "src/main.rs": rustProgram, "Cargo.toml": rustManifest }),
  },
  {
    language: "php",
    tools: ["php"],
    run: ["php", "main.php"],
    files: (code) => ({ "verify.php": code, "main.php": phpProgram }),
  },
  {
    language: "ruby",
    tools: ["ruby"],
    run: ["ruby", "main.rb"],
    files: (code) => ({ "verify.rb": code, "main.rb": rubyProgram }),
  },
  {
    language: "csharp",
    tools: ["dotnet"],
    run: ["dotnet", "run"],
    files: (code) => ({ "Webhooks.cs": code, "Program.cs": csharpProgram, "verify.csproj": csharpProject }),
  },
];
