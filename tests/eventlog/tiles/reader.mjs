// Reads a published folder as a partner would, with nothing of ours: C2SP tlog-tiles, signed-note and
// RFC 6962 from their texts, on Node's standard library. Run: node reader.mjs FOLDER VKEY
// Prints {"origin","size","root","leaves","tiles"} or fails with the first thing that is wrong.
import { createHash, createPublicKey, verify } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";

const [folder, vkey] = process.argv.slice(2);
const sha256 = (...parts) => parts.reduce((h, p) => h.update(p), createHash("sha256")).digest();
const leafHash = (leaf) => sha256(Buffer.of(0), leaf);
const nodeHash = (left, right) => sha256(Buffer.of(1), left, right);
const fail = (why) => { throw new Error(why); };

function openNote(note, vkey) {
  const [name, id, data] = [vkey.split("+")[0], vkey.split("+")[1], Buffer.from(vkey.split("+").slice(2).join("+"), "base64")];
  if (data[0] !== 1 || data.length !== 33) fail("not an Ed25519 key");
  if (sha256(name, "\n", data).subarray(0, 4).toString("hex") !== id) fail("the key's hash is wrong");
  const cut = note.lastIndexOf("\n\n");
  const text = note.slice(0, cut + 1);
  const key = createPublicKey({ key: Buffer.concat([Buffer.from("302a300506032b6570032100", "hex"), data.subarray(1)]), format: "der", type: "spki" });
  for (const line of note.slice(cut + 2).split("\n")) {
    const [dash, who, encoded] = line.split(" ");
    if (dash !== "—" || who !== name) continue;
    const signature = Buffer.from(encoded, "base64");
    if (signature.subarray(0, 4).toString("hex") !== id) continue;
    if (!verify(null, Buffer.from(text), key, signature.subarray(4))) fail("the signature is wrong");
    return text;
  }
  fail("no signature by the key");
}

let tiles = 0;
function readTile(level, number, count) {
  const width = Math.min(256, count - 256 * number);
  let path = String(number % 1000).padStart(3, "0");
  for (let n = Math.floor(number / 1000); n > 0; n = Math.floor(n / 1000)) path = "x" + String(n % 1000).padStart(3, "0") + "/" + path;
  tiles += 1;
  return [readFileSync(join(folder, "tile", String(level), width === 256 ? path : `${path}.p/${width}`)), width];
}

function readLevel(level, count) {
  const hashes = [];
  for (let number = 0; number * 256 < count; number++) {
    const [data, width] = readTile(level, number, count);
    if (data.length !== 32 * width) fail(`tile ${level}/${number} has ${data.length} bytes`);
    for (let at = 0; at < data.length; at += 32) hashes.push(data.subarray(at, at + 32));
  }
  return hashes;
}

function root(hashes) {
  if (hashes.length === 0) return sha256("");
  if (hashes.length === 1) return hashes[0];
  let k = 1;
  while (2 * k < hashes.length) k *= 2;
  return nodeHash(root(hashes.slice(0, k)), root(hashes.slice(k)));
}

const text = openNote(readFileSync(join(folder, "checkpoint"), "utf8"), vkey);
const [origin, sizeLine, rootLine] = text.split("\n");
const size = Number(sizeLine);
const hashes = readLevel(0, size);
if (!root(hashes).equals(Buffer.from(rootLine, "base64"))) fail("the leaf hashes have the wrong root");
let below = hashes;
for (let level = 1, count = Math.floor(size / 256); count > 0; level += 1, count = Math.floor(count / 256)) {
  const stored = readLevel(level, count);
  stored.forEach((hash, at) => { if (!hash.equals(root(below.slice(256 * at, 256 * at + 256)))) fail(`hash ${at} of level ${level} is wrong`); });
  below = stored;
}
let leaves = 0;
for (let number = 0; number * 256 < size; number++) {
  const [data] = readTile("entries", number, size);
  for (let at = 0; at < data.length; leaves += 1) {
    const length = data.readUInt16BE(at);
    if (!leafHash(data.subarray(at + 2, at + 2 + length)).equals(hashes[leaves])) fail(`entry ${leaves} is wrong`);
    at += 2 + length;
  }
}
if (leaves !== size) fail(`${leaves} entries of ${size}`);
console.log(JSON.stringify({ origin, size, root: root(hashes).toString("hex"), leaves, tiles }));
