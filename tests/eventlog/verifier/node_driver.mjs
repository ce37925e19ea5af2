// Answers each line of standard input, what to verify as JSON, with what verify.mjs says of it:
// one process for many bundles. "ed25519" asks for its check of a signature alone.

import fs from "node:fs";
import readline from "node:readline";
import { pathToFileURL } from "node:url";

const { ed25519Verify, verify } = await import(pathToFileURL(process.argv[2]));

for await (const line of readline.createInterface({ input: process.stdin })) {
  const asked = JSON.parse(line);
  const [key, signature, message] = (asked.ed25519 ?? []).map((hex) => Buffer.from(hex, "hex"));
  const said = asked.ed25519 ? ed25519Verify(key, signature, message) : verify(asked);
  fs.writeSync(1, `${JSON.stringify(said)}\n`);
}
