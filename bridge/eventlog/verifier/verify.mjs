#!/usr/bin/env node
// Verify an export of a Legacy Bridge event log, offline and without Legacy Bridge.
//
//     node verify.mjs BUNDLE --key VKEY [--witness VKEY …] [--since CHECKPOINT]
//     node verify.mjs --proof FILE.tlog-proof [--leaf FILE] --key VKEY
//
// The second implementation beside verify.py, for whoever wants two opinions: Node.js 18 or later,
// no package, written from docs/bundle-format.md and the specifications that verify.py names. It
// says the same in the same words; shared bundles in the tests hold both to that. Ed25519 and
// SHA-256 are OpenSSL's here, and our own and Python's there.
//
// Exit code 0: verified. 1: tampered; the first bad entry, line or file is named. 2: incomplete or
// not provable. Hashes are lower-case hex throughout.

import crypto from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";
import { fileURLToPath } from "node:url";

const BATCH = 2_000; // Entries read at a time: bounds the memory, not the size of a log.
const BLOCK_BYTES = 1 << 20; // Read at a time from a file of lines, and from one only hashed.
const LEAF_BYTES_MAX = 65_535; // C2SP tlog-tiles gives an entry a 16-bit length.
const LINE_BYTES_MAX = 64 << 20; // Of a payload; more would be an attack on memory.
const NOTE_BYTES_MAX = 1 << 20;
const MANIFEST_BYTES_MAX = 16 << 20;
const SIGNATURES_MAX = 100; // Of a note.
const BRACKETS_MAX = 900; // Of a leaf, and the depth of a manifest.
const NAMES_MAX = 20; // Files that nobody listed and that are named one by one.
const [LEAVES, PAYLOADS, HASHES] = ["leaves.jsonl", "payloads.jsonl", "hashes.bin"];
const ENTRY_FILES = [LEAVES, PAYLOADS, HASHES];
const [SELECTION, DISCLOSED, CHECKPOINT] = ["selection.bin", "disclosed.jsonl", "checkpoint.txt"];
const [MANIFEST, MANIFEST_NOTE, TRAILER] = ["manifest.json", "manifest.note", "trailer.note"];
const VERDICTS = ["VERIFIED", "TAMPERED", "INCOMPLETE"];
const NEVER_CHECKED = [
  "that the keys belong to whom you think: compare them with what you got in person or on paper",
  "that the times in the entries are true, and that everything that happened was logged",
  "what the entries and payloads mean, and whether they fit their contracts",
];

/** Why the bundle is not verified: what is wrong with which file, at which entry. */
class Finding extends Error {
  constructor(file, text, index = null) {
    super(text);
    Object.assign(this, { file, text, index });
  }
}
class Tampered extends Finding {} // Something is not what was signed.
class Incomplete extends Finding {} // Something is missing, or cannot be proven.

// Hashes and signatures.

// One call is twice as quick as an object with three, where Node has it (20.12 or later).
const sha256 = crypto.hash
  ? (data) => crypto.hash("sha256", data, "hex")
  : (data) => crypto.createHash("sha256").update(data).digest("hex");

/** RFC 8032 section 5.1.7. */
export function ed25519Verify(publicKey, signature, message) {
  if (publicKey.length !== 32 || signature.length !== 64) return false;
  const jwk = { kty: "OKP", crv: "Ed25519", x: publicKey.toString("base64url") };
  const key = crypto.createPublicKey({ key: jwk, format: "jwk" });
  return crypto.verify(null, message, key, signature);
}

// Text and JSON.

// What could rewrite or hide a line on a terminal, and what is no character at all.
const UNPRINTABLE =
  /[\x00-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff]/u;
// Unicode's spaces and '+', which the name of a key may not have.
const NOT_IN_NAMES = /[\x20\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000+]/u;
const DECIMAL = /^(0|[1-9][0-9]{0,15})$/;
const TIME = /^([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(\.[0-9]+)?Z$/;

/** Text from outside in quotes, cut after 200 characters, and safe to print. */
function show(value) {
  if (typeof value !== "string") return "(none)";
  const points = [...value.slice(0, 500)];
  const escape = (match) => `\\u${match.codePointAt(0).toString(16).padStart(4, "0")}`;
  const safe = points.slice(0, 200).join("").replace(new RegExp(UNPRINTABLE, "gu"), escape);
  return points.length <= 200 ? `'${safe}'` : `'${safe}'…`;
}

const byBytes = (a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b));
const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
const isCount = (value) => Number.isSafeInteger(value) && value >= 0;
const isHex = (value) => typeof value === "string" && /^[0-9a-f]{64}$/.test(value);
const own = (object, name) => (Object.hasOwn(object, name) ? object[name] : undefined);

function parseDecimal(text) {
  return DECIMAL.test(text) && Number.isSafeInteger(Number(text)) ? Number(text) : null;
}

/** The bytes of canonical base64, else null. */
function decodeBase64(text) {
  if (typeof text !== "string") return null;
  const data = Buffer.from(text, "base64");
  return data.toString("base64") === text ? data : null;
}

const STRICT = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const LENIENT = new TextDecoder("utf-8", { ignoreBOM: true });

/** What `text.split(mark)` gives, the last of `count` parts with all that remains. */
function splitMax(text, mark, count) {
  const parts = text.split(mark);
  return parts.length <= count
    ? [...parts, ...Array(count - parts.length).fill("")]
    : [...parts.slice(0, count - 1), parts.slice(count - 1).join(mark)];
}

/** How many keys a JSON text has, whether twice or not, and how deep it is. */
function scanJson(text) {
  let [keys, depth, deepest, inside] = [0, 0, 0, false];
  for (let at = 0; at < text.length; at++) {
    const character = text[at];
    if (inside) {
      if (character === "\\") at++;
      else if (character === '"') inside = false;
    } else if (character === '"') inside = true;
    else if (character === ":") keys++;
    else if (character === "[" || character === "{") deepest = Math.max(deepest, ++depth);
    else if (character === "]" || character === "}") depth--;
  }
  return { keys, deepest };
}

function countKeys(value) {
  if (value === null || typeof value !== "object") return 0;
  const own = Array.isArray(value) ? 0 : Object.keys(value).length;
  return Object.values(value).reduce((sum, each) => sum + countKeys(each), own);
}

/** The object that strict JSON holds, else null. */
function parseJson(data) {
  try {
    const text = STRICT.decode(data);
    const { keys, deepest } = scanJson(text);
    if (deepest > BRACKETS_MAX) return null;
    const found = JSON.parse(text);
    return isObject(found) && countKeys(found) === keys ? found : null;
  } catch {
    return null;
  }
}

/** What a leaf says, quickly; null when it is no object. */
function parseLeaf(leaf) {
  try {
    const text = STRICT.decode(leaf);
    let brackets = 0;
    for (const mark of "[{")
      for (let at = -1; (at = text.indexOf(mark, at + 1)) >= 0; ) brackets++;
    if (brackets > BRACKETS_MAX) return null;
    const found = JSON.parse(text);
    return isObject(found) ? found : null;
  } catch {
    return null;
  }
}

// Keys and notes: C2SP signed-note, tlog-checkpoint, tlog-cosignature.

const [LOG_KEY, WITNESS_KEY] = [1, 4]; // Types of signature: Ed25519, and Ed25519 with a time.

function parseKey(vkey, wanted = LOG_KEY) {
  const [name, keyHash, encoded] = splitMax(vkey.replace(/^[ \t\r\n]+|[ \t\r\n]+$/g, ""), "+", 3);
  const data = decodeBase64(encoded);
  const badName = !name || UNPRINTABLE.test(name) || NOT_IN_NAMES.test(name);
  if (badName || data === null || data.length !== 33 || ![LOG_KEY, WITNESS_KEY].includes(data[0]))
    throw new Incomplete("", `key ${show(vkey)}: expected name+hash+base64 of an Ed25519 key`);
  const id = sha256(Buffer.concat([Buffer.from(`${name}\n`), data])).slice(0, 8);
  if (id !== keyHash)
    throw new Incomplete("", `key ${show(vkey)}: its hash does not fit; was it mistyped?`);
  if (data[0] !== wanted) {
    const [is, not] = wanted === LOG_KEY ? ["witness", "log"] : ["log", "witness"];
    throw new Incomplete("", `key ${show(vkey)}: a key of a ${is}, not of a ${not}`);
  }
  return { name, label: `${name}+${id}`, public: data.subarray(1) };
}

/** A note's text and its signatures: name, key id with signature. */
function splitNote(file, data) {
  let whole;
  try {
    whole = STRICT.decode(data);
  } catch {
    throw new Tampered(file, "not a signed note: not UTF-8");
  }
  const blank = whole.lastIndexOf("\n\n");
  if (blank < 0 || !whole.slice(blank + 2).endsWith("\n")) {
    if (blank < 0 && whole.includes("\u2014 "))
      throw new Tampered(file, "not a signed note: no empty line before its signatures");
    throw new Incomplete(file, "cut, or not a signed note: its signature is missing");
  }
  if (/[\x00-\x09\x0b-\x1f]/.test(whole))
    throw new Tampered(file, "not a signed note: it has a control character");
  const signatures = whole.slice(blank + 2, -1).split("\n").map((line) => {
    const [dash, name, encoded] = splitMax(line, " ", 3);
    const signature = decodeBase64(encoded);
    if (dash !== "\u2014" || !name || signature === null || signature.length < 5)
      throw new Tampered(file, "not a signed note: a signature line is malformed");
    return { name, id: signature.toString("hex", 0, 4), signature: signature.subarray(4) };
  });
  if (signatures.length > SIGNATURES_MAX)
    throw new Tampered(file, `more than ${SIGNATURES_MAX} signatures`);
  return { text: whole.slice(0, blank + 1), signatures };
}

/** What one of `keys`, or if so allowed a stranger, signed; none of ours may be wrong. */
function openNote(file, data, keys, witnesses, strangers = false) {
  const { text, signatures } = splitNote(file, data);
  const note = { text, names: new Set(), seen: new Map(), others: [] };
  for (const { name, id, signature } of signatures) {
    const label = `${name}+${id}`;
    const key = keys.findLast((each) => each.label === label);
    const witness = key ? undefined : witnesses.findLast((each) => each.label === label);
    let right;
    if (key) {
      right = ed25519Verify(key.public, signature, Buffer.from(text));
      note.names.add(name);
    } else if (witness) {
      const padded = Buffer.concat([signature, Buffer.alloc(8)]);
      const seconds = padded.readBigUInt64BE(0);
      const stated = Buffer.from(`cosignature/v1\ntime ${seconds}\n${text}`);
      right =
        signature.length === 72 && ed25519Verify(witness.public, signature.subarray(8), stated);
      note.seen.set(witness.public.toString("hex"), seconds);
    } else {
      note.others.push(`${show(name).slice(1, -1)}+${id}`);
      continue;
    }
    if (!right) throw new Tampered(file, `the signature by ${label} does not fit the text`);
  }
  if (note.names.size === 0 && !(strangers && note.others.length > 0)) {
    const wanted = keys.map((key) => key.label).join(" or ");
    const found = note.others.slice(0, 10).join(", ") || "witnesses";
    throw new Tampered(file, `not signed by ${wanted}, but by ${found}: key swapped`);
  }
  return note;
}

/** Origin and head that were signed. */
function parseCheckpoint(file, note) {
  const lines = note.text.slice(0, -1).split("\n");
  const [origin, size, root] = [lines[0], parseDecimal(lines[1] ?? ""), decodeBase64(lines[2] ?? "")];
  const right = note.names.has(origin) && size !== null && root?.length === 32;
  if (!right || lines.includes(""))
    throw new Tampered(
      file,
      "signed, but not a checkpoint of the log that the key is named after",
    );
  return { origin, head: { size, root: root.toString("hex") } };
}

const sameHead = (a, b) => a.size === b.size && a.root === b.root;

// The tree: RFC 6962 section 2.1.

const PAIR = Buffer.alloc(65, 1);

function node(left, right) {
  PAIR.hexWrite(left, 1, 32);
  PAIR.hexWrite(right, 33, 32);
  return sha256(PAIR);
}

/** The hash of a leaf. The byte before it is a line feed that was read, or free: see `Lines`. */
function leafHash(line) {
  const whole = new Uint8Array(line.buffer, line.byteOffset - 1, line.length + 1);
  whole[0] = 0;
  return sha256(whole);
}

const half = (number) => Math.floor(number / 2); // Exact beyond 32 bits, unlike >>.
const isOdd = (number) => number % 2 === 1;

/** The sizes of the subtrees that [0, size) consists of, as levels, largest first. */
function leftLevels(size) {
  const levels = [];
  for (let level = 0; size > 0; level++, size = half(size)) if (isOdd(size)) levels.unshift(level);
  return levels;
}

/** The levels of the subtrees that [stop, size) consists of. */
function rightLevels(stop, size) {
  const levels = [];
  while (stop < size) {
    let level = 0;
    while (stop % 2 ** (level + 1) === 0 && stop + 2 ** (level + 1) <= size) level++;
    levels.push(level);
    stop += 2 ** level;
  }
  return levels;
}

/** Grows by leaf hashes, or by whole subtrees, and keeps at most one hash of each level. */
class Tree {
  /** Begin with the subtrees of the first `size` leaves, largest first. */
  constructor(size, left) {
    this.levels = [];
    leftLevels(size).forEach((level, at) => (this.levels[level] = left[at]));
  }

  add(hashes, level = 0) {
    for (; hashes.length > 0; level++) {
      const row = this.levels[level] === undefined ? hashes : [this.levels[level], ...hashes];
      this.levels[level] = isOdd(row.length) ? row.pop() : undefined;
      const next = [];
      for (let at = 0; at < row.length; at += 2) next.push(node(row[at], row[at + 1]));
      hashes = next;
    }
  }

  root() {
    return this.levels.reduce(
      (root, top) => (top === undefined ? root : root ? node(top, root) : top),
      "",
    );
  }
}

/** The root after adding the subtrees behind the range. */
function wholeRoot(tree, stop, size, right) {
  rightLevels(stop, size).forEach((level, at) => tree.add([right[at]], level));
  return tree.root();
}

/** Whether `new_` grew out of `old`: RFC 9162 section 2.1.4.2. */
function checkConsistency(old, new_, proof) {
  if (old.size === new_.size || old.size === 0 || old.size > new_.size)
    return sameHead(old, new_) && proof.length === 0;
  const wholeTree = leftLevels(old.size).length === 1;
  const hashes = wholeTree ? [old.root, ...proof] : proof;
  if (hashes.length === 0) return false;
  let [first, last] = [old.size - 1, new_.size - 1];
  while (isOdd(first)) [first, last] = [half(first), half(last)];
  let [oldRoot, newRoot] = [hashes[0], hashes[0]];
  for (const digest of hashes.slice(1)) {
    if (last === 0) return false;
    if (isOdd(first) || first === last) {
      [oldRoot, newRoot] = [node(digest, oldRoot), node(digest, newRoot)];
      while (first > 0 && !isOdd(first)) [first, last] = [half(first), half(last)];
    } else newRoot = node(newRoot, digest);
    [first, last] = [half(first), half(last)];
  }
  return last === 0 && oldRoot === old.root && newRoot === new_.root;
}

/** The root that the path leads to: RFC 9162 section 2.1.3.2. */
function inclusionRoot(index, size, digest, hashes) {
  let last = size - 1;
  for (const other of hashes) {
    if (last === 0) return null;
    if (isOdd(index) || index === last) {
      digest = node(other, digest);
      while (index > 0 && !isOdd(index)) [index, last] = [half(index), half(last)];
    } else digest = node(digest, other);
    [index, last] = [half(index), half(last)];
  }
  return last === 0 ? digest : null;
}

// Files.

/** Whether a name from a manifest stays inside the folder. */
function isSafe(name) {
  const bad = UNPRINTABLE.test(name) || name.includes("\\") || name.includes(":");
  return !bad && !name.split("/").some((part) => ["", ".", ".."].includes(part));
}

const OPENED = new Set(); // Files that stay open while entries are read.

function closeFile(file) {
  OPENED.delete(file);
  fs.closeSync(file);
}

/** Open a regular file of the bundle; links are not followed, pipes not waited for. */
function openFile(folder, name) {
  let [at, state] = [folder, null];
  for (const part of name.split("/")) {
    at = path.join(at, part);
    try {
      state = fs.lstatSync(at);
    } catch {
      throw new Incomplete(name, "missing");
    }
    if (!state.isFile() && !state.isDirectory()) throw new Incomplete(name, "not a regular file");
  }
  if (!state.isFile()) throw new Incomplete(name, "not a regular file");
  try {
    const file = fs.openSync(at, "r");
    OPENED.add(file);
    return file;
  } catch {
    throw new Incomplete(name, "cannot be opened");
  }
}

/** As many bytes as there are, at most `count`; one byte in front of them is free. */
function readBytes(file, count, before = Buffer.alloc(0)) {
  const data = Buffer.allocUnsafeSlow(1 + before.length + count);
  before.copy(data, 1);
  let end = 1 + before.length;
  while (end < data.length) {
    const got = fs.readSync(file, data, end, data.length - end, null);
    if (got === 0) break;
    end += got;
  }
  return data.subarray(1, end);
}

function readSmall(folder, name, bytesMax = NOTE_BYTES_MAX) {
  const file = openFile(folder, name);
  const wanted = Math.min(fs.fstatSync(file).size, bytesMax) + 1;
  const data = readBytes(file, wanted);
  closeFile(file);
  if (data.length > bytesMax) throw new Tampered(name, `longer than ${bytesMax} bytes`);
  return data;
}

const readOutside = (name) => readSmall(path.dirname(name), path.basename(name));

/** Reads lines in blocks, so that no line can fill the memory. */
class Lines {
  constructor(file, bytesMax, mark = null) {
    // `marked`: `mark` was read anywhere, so that most logs need not be searched line by line.
    Object.assign(this, { mark, marked: false });
    // `part`: it ends without a line feed. `tooLong`: it was left at a line longer than allowed.
    Object.assign(this, { file, bytesMax, count: 0, part: false, tooLong: false });
    Object.assign(this, { ready: [], at: 0, rest: Buffer.alloc(0), ended: false });
  }

  fill(count) {
    if (this.ready.length - this.at < count && this.at > 0)
      [this.ready, this.at] = [this.ready.slice(this.at), 0];
    while (this.ready.length < count && !this.ended) {
      const data = readBytes(this.file, Math.max(BLOCK_BYTES, this.rest.length), this.rest);
      const last = data.length === this.rest.length;
      this.marked ||= this.mark !== null && data.includes(this.mark);
      let [start, end] = [0, 0];
      while ((end = data.indexOf(10, start)) >= 0 && end - start <= this.bytesMax) {
        this.ready.push(data.subarray(start, end));
        start = end + 1;
      }
      this.rest = data.subarray(start);
      this.tooLong = end >= 0 || this.rest.length > this.bytesMax;
      this.ended = last || this.tooLong;
      this.part = !this.tooLong && this.ended && this.rest.length > 0;
    }
  }

  take(count) {
    this.fill(count);
    const lines = this.ready.slice(this.at, this.at + count);
    this.at += lines.length;
    this.count += lines.length;
    return lines;
  }

  goesOn() {
    this.fill(1);
    return this.at < this.ready.length || this.part || this.tooLong;
  }
}

/** Reads records of one size, as `Lines` reads lines. */
class Records {
  constructor(file, size) {
    Object.assign(this, { file, size, count: 0, part: false, tooLong: false });
  }

  take(count) {
    const data = readBytes(this.file, count * this.size);
    const whole = Math.floor(data.length / this.size);
    this.part ||= data.length % this.size > 0;
    this.count += whole;
    const hex = data.toString("hex");
    const length = 2 * this.size;
    return Array.from({ length: whole }, (_, at) => hex.slice(at * length, (at + 1) * length));
  }

  goesOn() {
    return this.part || readBytes(this.file, 1).length > 0;
  }
}

// The manifest.

/** Collects what was found; tampering outweighs what is missing. */
class Report {
  constructor() {
    Object.assign(this, { found: [], facts: [], unchecked: [] });
  }

  /** What `call` returns, or null after taking down why it cannot. */
  attempt(call, ...given) {
    try {
      return call(...given);
    } catch (error) {
      if (!(error instanceof Finding)) throw error;
      this.found.push(error);
      return null;
    }
  }

  tampered(file, text, index = null) {
    this.found.push(new Tampered(file, text, index));
  }

  incomplete(file, text, index = null) {
    this.found.push(new Incomplete(file, text, index));
  }

  has(file) {
    return this.found.some((finding) => finding.file === file);
  }

  code() {
    if (this.found.some((finding) => finding instanceof Tampered)) return 1;
    return this.found.length > 0 ? 2 : 0;
  }
}

/** The manifest, which its note vouches for. */
function readManifest(folder, trust) {
  const note = openNote(MANIFEST_NOTE, readSmall(folder, MANIFEST_NOTE), trust.keys, []);
  const [title, size, digest] = [...note.text.split("\n"), "", ""];
  if (title !== "legacy-bridge export manifest v2") {
    if (title === "legacy-bridge export manifest v1")
      throw new Incomplete(MANIFEST_NOTE, "of version 1, which this verifier does not know");
    throw new Tampered(MANIFEST_NOTE, "signed, but not for a manifest");
  }
  const data = readSmall(folder, MANIFEST, MANIFEST_BYTES_MAX);
  if (sha256(data) !== digest || String(data.length) !== size) {
    const cut = data.length < (parseDecimal(size) ?? 0);
    if (cut && !/}\n*$/.test(data.toString("latin1", Math.max(0, data.length - 1000))))
      throw new Incomplete(MANIFEST, `cut after ${data.length} of ${size} bytes`);
    throw new Tampered(MANIFEST, "not what was signed");
  }
  const said = parseJson(data);
  if (said === null) throw new Tampered(MANIFEST, "signed, but not strict JSON");
  return checkManifest(said);
}

function need(right, what) {
  if (!right) throw new Tampered(MANIFEST, `signed, but malformed: ${what}`);
}

const LISTS = ["kinds", "types", "entities", "actors", "correlations"];

/** What the manifest says; every value has its form, and they agree with each other. */
function checkManifest(said) {
  need(own(said, "format") === "legacy-bridge-export", "format");
  if (own(said, "version") !== 2)
    throw new Incomplete(MANIFEST, "of a version that this verifier does not know");
  for (const name of ["range", "head", "proof", "selection", "limits", "files"])
    need(isObject(own(said, name)), name);
  const { origin, files, range, limits, minimum_index: minimum } = said;
  const found = { said, origin, files, filter: said.filter ?? null };
  [found.start, found.stop] = [range.start, range.stop];
  [found.size, found.count] = [said.head.size, said.selection.count];
  need(typeof origin === "string", "origin");
  for (const count of [found.start, found.stop, found.size, found.count, minimum])
    need(isCount(count), "a number");
  if (found.size === 0 || found.start >= found.stop)
    throw new Incomplete(MANIFEST, "a range of no entries, so there is nothing to prove");
  need(minimum <= found.start && found.stop <= found.size, "range");
  found.head = parseHead(said.head);
  found.left = parseHashes(said.proof.left);
  found.right = parseHashes(said.proof.right);
  const right = found.right.length === rightLevels(found.stop, found.size).length;
  need(
    found.left.length === leftLevels(found.start).length && right,
    "the proof's number of hashes",
  );
  const since = said.since ?? null;
  need(since === null || isObject(since), "since");
  found.since = since && parseHead(since);
  found.growth = since ? parseHashes(since.proof) : [];
  const most = limits.entries_max ?? null;
  found.reached = limits.reached;
  need(most === null || (isCount(most) && found.count <= most), "limits");
  need(typeof found.reached === "boolean", "limits");
  found.provable = said.selection.provable;
  checkFilter(found);
  checkFiles(found);
  return found;
}

function checkFilter({ filter, start, stop, count, provable }) {
  const leaves = stop - start;
  need(filter === null || isObject(filter), "filter");
  need(filter === null ? count === leaves : count <= leaves, "selection.count");
  need(provable === !Object.hasOwn(filter ?? {}, "fields"), "selection.provable");
  for (const name of Object.keys(filter ?? {}).sort(byBytes)) {
    const value = filter[name];
    let right = name === "fields";
    if (LISTS.includes(name))
      right = Array.isArray(value) && value.every((each) => typeof each === "string");
    else if (name === "time") {
      const bounds = isObject(value) ? [value.from ?? null, value.to ?? null] : [0];
      right = bounds.every((bound) => bound === null || sixDigits(bound) !== null);
    }
    need(right, "filter");
  }
}

function checkFiles({ files, filter, start, stop, count }) {
  for (const name of Object.keys(files).sort(byBytes)) {
    need(isSafe(name), `it lists ${show(name)}, which is no path inside the bundle`);
    const right = isObject(files[name]) && isCount(files[name].bytes);
    need(right && isHex(files[name].sha256), `files, ${name}`);
  }
  const itself = [MANIFEST, MANIFEST_NOTE, TRAILER].some((name) => Object.hasOwn(files, name));
  need(!itself, "it lists itself");
  need(Object.hasOwn(files, SELECTION) === (filter !== null), `${SELECTION} without filter`);
  const counts = { [LEAVES]: stop - start, [PAYLOADS]: count, [HASHES]: stop - start };
  for (const name of [CHECKPOINT, ...ENTRY_FILES]) {
    need(Object.hasOwn(files, name), `it does not list ${name}`);
    need(name === CHECKPOINT || files[name].records === counts[name], `files, ${name}: records`);
  }
}

function parseHead(said) {
  need(isCount(said.size) && isHex(said.root), "a head");
  return { size: said.size, root: said.root };
}

function parseHashes(said) {
  need(Array.isArray(said) && said.every(isHex), "a list of hashes");
  return said;
}

function checkTrailer(folder, trust, manifest) {
  const note = openNote(TRAILER, readSmall(folder, TRAILER), trust.keys, []);
  const digest = sha256(readSmall(folder, MANIFEST, MANIFEST_BYTES_MAX));
  const { files, start, stop, count } = manifest;
  const said = ["legacy-bridge export trailer v2", digest, Object.keys(files).length];
  if (note.text !== `${[...said, stop - start, count].join("\n")}\n`)
    throw new Tampered(TRAILER, "signed, but not for this manifest and its numbers");
}

/**
 * A checkpoint's note and head. An earlier one may be signed by a key from before a rotation only,
 * which nobody gave us: then the manifest vouches for it and the tree must fit it, and that is all.
 */
function readHead(folder, name, trust, origin, report) {
  const data = readSmall(folder, name);
  const note = openNote(name, data, trust.keys, trust.witnesses, name !== CHECKPOINT);
  if (note.names.size === 0) {
    note.names.add(origin);
    const signers = note.others.slice(0, 10).join(", ");
    report.unchecked.push(`${name}: signed by ${signers}, a key that was not given`);
  }
  const found = parseCheckpoint(name, note);
  if (found.origin !== origin)
    throw new Tampered(
      name,
      `a checkpoint of log ${show(found.origin)}, the manifest is of another`,
    );
  return { note, head: found.head };
}

// Entries.

/** A time in UTC with six digits, so that it compares as text; else null. */
function sixDigits(value) {
  const match = typeof value === "string" ? TIME.exec(value) : null;
  return match && `${match[1]}.${(match[2] ?? ".").slice(1, 7).padEnd(6, "0")}Z`;
}

/** A function that decides by what a leaf says whether its entry is selected. */
function makeFilter(said) {
  const lists = LISTS.filter((name) => Object.hasOwn(said, name)).map((name) => [
    name,
    new Set(said[name]),
  ]);
  const timed = Object.hasOwn(said, "time");
  const [start, stop] = [sixDigits(said.time?.from), sixDigits(said.time?.to)];
  return (leaf) => {
    const fields = isObject(own(leaf, "fields")) ? leaf.fields : {};
    const actor = own(fields, "actor");
    const found = {
      kinds: own(leaf, "kind"),
      types: own(fields, "type"),
      entities: own(leaf, "entity"),
      actors: isObject(actor) ? own(actor, "id") : undefined,
      correlations: own(fields, "correlation"),
    };
    if (lists.some(([name, wanted]) => !wanted.has(found[name]))) return false;
    if (!timed) return true;
    const moment = sixDigits(own(fields, "time"));
    if (moment === null || (start !== null && moment < start)) return false;
    return stop === null || moment < stop;
  };
}

const SEALED = Buffer.from('"sealed":');

/** Reads the files of entries side by side; remembers where each first goes wrong. */
class Entries {
  constructor(folder, manifest, report) {
    Object.assign(this, { manifest, report, start: manifest.start, stop: manifest.stop });
    this.tree = new Tree(this.start, manifest.left);
    this.roots = new Map(this.start ? [[this.start, this.tree.root()]] : []);
    this.badLeaf = null; // Index of the first leaf that hashes.bin contradicts.
    this.badLine = "";
    [this.sealed, this.opened, this.selected] = [0, 0, 0];
    this.named = new Set(); // Of what can go wrong, what did: only its first is named.
    this.fits = manifest.filter && makeFilter(manifest.filter);
    this.leaves = new Lines(openFile(folder, LEAVES), LEAF_BYTES_MAX, SEALED);
    this.hashes = new Records(openFile(folder, HASHES), 32);
    this.payloads = new Lines(openFile(folder, PAYLOADS), LINE_BYTES_MAX);
    this.selection = this.fits && new Records(openFile(folder, SELECTION), 8);
    this.nextIndex = this.start - 1;
    const listed = Object.hasOwn(manifest.files, DISCLOSED);
    this.disclosed = listed ? new Lines(openFile(folder, DISCLOSED), LINE_BYTES_MAX) : null;
    this.nextItem = { index: -1, item: -1 };
    this.advanceItem();
  }

  name(file, text, index) {
    if (this.named.has(file)) return;
    this.named.add(file);
    this.report.tampered(file, text, index);
  }

  /** Read all; keep the roots of the trees of `sizes` in `roots`. */
  read(sizes) {
    this.advanceSelection();
    let at = this.start;
    for (const end of [...new Set([...sizes, this.stop])].sort((a, b) => a - b)) {
      while (at < end) {
        const stop = Math.min(end, at + BATCH);
        if (!this.readBatch(at, stop)) return;
        at = stop;
      }
      if (this.start + this.leaves.count === end) this.roots.set(end, this.tree.root());
    }
  }

  readBatch(start, stop) {
    const leaves = this.leaves.take(stop - start);
    const stored = this.hashes.take(stop - start);
    const chosen = this.choose(start, stop);
    const payloads = this.payloads.take(chosen.length);
    const hashes = leaves.map(leafHash);
    if (this.badLeaf === null) {
      const at = firstDifference(hashes, stored);
      if (at !== null) [this.badLeaf, this.badLine] = [start + at, leaves[at]];
    }
    this.tree.add(hashes);
    // What stands behind a line that was inserted or removed is not in its place.
    const sound =
      this.badLeaf === null ? leaves : leaves.slice(0, Math.max(0, this.badLeaf - start));
    for (let at = 0; at < sound.length; at++) {
      if (saysIndex(sound[at], start + at)) continue;
      const line = start + at - this.start + 1;
      this.name(LEAVES, `line ${line} does not say that it is entry ${start + at}`, start + at);
      break;
    }
    this.checkPayloads(sound, start, chosen, payloads);
    if (this.fits) this.checkSelection(sound, start, new Set(chosen));
    this.checkSealed(sound, start, chosen);
    this.selected += chosen.length;
    const more = this.selection !== null && this.nextIndex !== null;
    return leaves.length + stored.length + payloads.length > 0 || more;
  }

  /** The indices of the selected entries of a batch. */
  choose(start, stop) {
    if (this.selection === null) return Array.from({ length: stop - start }, (_, at) => start + at);
    const chosen = [];
    while (this.nextIndex !== null && this.nextIndex < stop) {
      chosen.push(this.nextIndex);
      this.advanceSelection();
    }
    return chosen;
  }

  advanceSelection() {
    if (this.selection === null || this.nextIndex === null) return;
    const [before, [record]] = [this.nextIndex, this.selection.take(1)];
    const next = record === undefined ? null : BigInt(`0x${record}`);
    this.nextIndex = next === null ? null : Number(next);
    if (next !== null && !(before < next && next < this.stop)) {
      const text = `place ${this.selection.count} holds ${next}, out of order`;
      this.name(SELECTION, text, isCount(this.nextIndex) ? this.nextIndex : null);
      this.nextIndex = null;
    }
  }

  checkPayloads(leaves, start, chosen, payloads) {
    const count = Math.min(chosen.length, payloads.length);
    for (let at = 0; at < count; at++) {
      const leaf = leaves[chosen[at] - start];
      if (leaf === undefined) return;
      if (leaf.latin1Slice(0, 81) === `{"data_sha256":"${sha256(payloads[at])}"`) continue;
      const [line, index] = [this.selected + at + 1, chosen[at]];
      this.name(PAYLOADS, `line ${line} is not the payload of entry ${index}`, index);
      return;
    }
  }

  checkSelection(leaves, start, chosen) {
    if (this.named.has(SELECTION)) return;
    for (let at = 0; at < leaves.length; at++) {
      const [index, said] = [start + at, parseLeaf(leaves[at])];
      if (said === null) return this.name(LEAVES, `entry ${index} is not JSON`, index);
      const fits = this.fits(said);
      if (chosen.has(index) && !fits)
        return this.name(SELECTION, `entry ${index} is selected, but does not fit`, index);
      if (!chosen.has(index) && fits && this.manifest.provable)
        return this.name(SELECTION, `entry ${index} fits the filter, but is left out`, index);
    }
  }

  /** Count the sealed items of selected entries; compare those that are disclosed. */
  checkSealed(leaves, start, chosen) {
    let ahead = leaves.length > 0 ? this.nextItem : null;
    for (const index of this.leaves.marked ? chosen : []) {
      const leaf = leaves[index - start];
      if (leaf === undefined || !leaf.includes(SEALED)) continue;
      const commits = commitments(leaf);
      this.sealed += commits.length;
      while (ahead !== null && ahead.index <= index) {
        const right = ahead.item < commits.length && sha256(ahead.plain) === commits[ahead.item];
        if (ahead.index < index || !right) return this.badItem(ahead.index);
        this.opened += 1;
        ahead = this.advanceItem();
      }
    }
    if (ahead !== null && ahead.index < start + leaves.length) this.badItem(ahead.index);
  }

  badItem(index) {
    const text = `line ${this.disclosed.count} is not what entry ${index} committed to`;
    this.name(DISCLOSED, text, index);
    this.nextItem = null;
  }

  /** Read the next line of what is disclosed. */
  advanceItem() {
    const [line] = this.disclosed && this.nextItem ? this.disclosed.take(1) : [];
    const before = this.nextItem;
    this.nextItem = null;
    if (line === undefined) return null;
    const said = parseJson(line) ?? {};
    const [index, item] = [own(said, "index"), own(said, "item")];
    const plain = decodeBase64(own(said, "plaintext"));
    const place = `line ${this.disclosed.count}`;
    if (!isCount(index) || !isCount(item) || plain === null)
      this.report.tampered(DISCLOSED, `${place} is malformed`);
    else if (index < before.index || (index === before.index && item <= before.item))
      this.report.tampered(DISCLOSED, `${place} is out of order`, index);
    else if (index < this.start || index >= this.stop)
      this.report.tampered(DISCLOSED, `${place} is of an entry outside the range`, index);
    else this.nextItem = { index, item, plain };
    return this.nextItem;
  }
}

/** Whether a leaf says that it is entry `index`; that stands near its end. */
function saysIndex(leaf, index) {
  return leaf.latin1Slice(Math.max(0, leaf.length - 80)).includes(`,"index":${index},`);
}

/** Where two lists first differ, as far as both go. */
function firstDifference(left, right) {
  const count = Math.min(left.length, right.length);
  for (let at = 0; at < count; at++) if (left[at] !== right[at]) return at;
  return null;
}

/** The commitments of a leaf's sealed items. */
function commitments(leaf) {
  const fields = own(parseLeaf(leaf) ?? {}, "fields");
  const sealed = isObject(fields) ? own(fields, "sealed") : null;
  const items = Array.isArray(sealed) ? sealed : [];
  return items.map((item) => (isObject(item) ? own(item, "commit") : undefined));
}

/** Say what is wrong with the leaves by what was signed; return whether nothing is. */
function judgeLeaves(folder, entries, manifest) {
  const { report, start, stop, badLeaf: bad } = entries;
  const { head, left, right } = manifest;
  const complete = entries.leaves.count === stop - start;
  const root = complete ? wholeRoot(entries.tree, stop, head.size, right) : "";
  const signed = root === head.root;
  if (bad !== null && signed)
    report.tampered(HASHES, `the hash of entry ${bad} is not what was signed`, bad);
  else if (bad !== null) {
    const tree = new Tree(start, left);
    const stored = new Records(openFile(folder, HASHES), 32);
    for (let hashes; (hashes = stored.take(BATCH)).length > 0; ) tree.add(hashes);
    const whole = entries.hashes.count === stop - start && !entries.hashes.part;
    const sure = whole && wholeRoot(tree, stop, head.size, right) === head.root;
    const doubt = sure ? "" : `; ${HASHES} was changed too, so an earlier one may be bad`;
    const why = claim(entries.badLine, bad);
    const line = bad - start + 1;
    report.tampered(LEAVES, `line ${line} is not the signed entry ${bad}: ${why}${doubt}`, bad);
  } else if (complete && !signed) {
    const text = `not what was signed (root ${root}); ${HASHES} was changed with it, or the`;
    report.tampered(LEAVES, `${text} proof is wrong, so the first bad entry cannot be named`);
  }
  judgeCount(entries.leaves, LEAVES, stop - start, stop, report);
  judgeCount(entries.hashes, HASHES, stop - start, stop, report);
  return signed;
}

/** What a wrong line says of itself. */
function claim(line, index) {
  const tail = line.latin1Slice(Math.max(0, line.length - 80));
  const mark = ',"index":';
  const at = tail.lastIndexOf(mark);
  const found = (at < 0 ? tail : tail.slice(at + mark.length)).split(",")[0];
  if (found === String(index)) return "its content was changed";
  if (DECIMAL.test(found))
    return `it says that it is entry ${found}: a line was removed, inserted or moved`;
  return "it does not even look like an entry";
}

/** Say whether a file of entries is cut, or goes on after the range. */
function judgeCount(file, name, wanted, stop, report) {
  if (file.tooLong)
    report.tampered(name, `line ${file.count + 1} is longer than an entry can be`);
  else if (file.count < wanted) {
    const part = file.part || file.goesOn() ? " and a part of the next" : "";
    report.incomplete(name, `cut after ${file.count} of ${wanted} entries${part}`);
  } else if (file.goesOn())
    report.tampered(name, `goes on after entry ${stop - 1}, the last of the range`);
}

/** Say what is wrong with the entries, earlier checkpoints and the selection. */
function judgeEntries(folder, entries, manifest, heads) {
  const { report, selection } = entries;
  const wanted = manifest.count;
  const signed = judgeLeaves(folder, entries, manifest);
  let [good, bad] = [entries.start, null];
  for (const [name, head] of [...heads].sort((a, b) => a[1].size - b[1].size)) {
    const found = entries.roots.get(head.size);
    if (found === undefined || bad !== null) continue;
    if (found === head.root) good = head.size;
    else {
      bad = head.size;
      if (signed)
        report.tampered(name, "signed, but not a head of this log: two histories were signed");
    }
  }
  if (bad !== null && !signed && entries.badLeaf === null) {
    const text = `by the checkpoints, the first bad entry is one of ${good} to ${bad - 1}`;
    report.tampered(LEAVES, text);
  }
  if (selection !== null && !entries.named.has(SELECTION)) {
    if (selection.count !== wanted || selection.part) {
      const text = `holds ${selection.count} indices, the manifest says ${wanted}`;
      report.tampered(SELECTION, text);
    } else judgeCount(entries.payloads, PAYLOADS, wanted, entries.stop, report);
  } else if (selection === null)
    judgeCount(entries.payloads, PAYLOADS, wanted, entries.stop, report);
  if (wanted === 0)
    report.incomplete(SELECTION, "no entry is selected, so there is nothing to prove");
}

/** Check that the log grew out of the receiver's own checkpoint. */
function judgeKept(kept, entries, manifest, trust) {
  const name = `--since ${show(path.basename(kept))}`;
  let found;
  try {
    const note = openNote(name, readOutside(kept), trust.keys, trust.witnesses);
    found = parseCheckpoint(name, note);
  } catch (error) {
    if (!(error instanceof Finding)) throw error;
    // Of a file of the receiver's own nothing can be said about the bundle.
    throw new Incomplete(name, `no checkpoint that a given key signed (${error.text})`);
  }
  const known = new Map(entries.roots);
  known.set(manifest.size, manifest.head.root);
  const { since } = manifest;
  if (since !== null && !known.has(since.size)) known.set(since.size, since.root);
  const { size, root } = found.head;
  if (found.origin !== manifest.origin)
    throw new Incomplete(name, `of another log, ${show(found.origin)}`);
  if (!known.has(size))
    throw new Incomplete(
      name,
      `of size ${size}: this bundle cannot be compared with it; ` +
        "have it exported since that checkpoint",
    );
  if (known.get(size) !== root)
    throw new Tampered(
      name,
      `the first ${size} entries are not what they were: two histories were signed`,
    );
  entries.report.facts.push(`grew out of your checkpoint of size ${size}`);
}

function judgeSince({ since, head, growth }) {
  if (since === null || checkConsistency(since, head, growth)) return;
  const text = `since: the proof does not show that the log grew out of size ${since.size}`;
  throw new Tampered(MANIFEST, text);
}

// Cosignatures, time stamps, other files.

function utc(seconds) {
  if (seconds > 253_402_300_799n) return `${seconds} s`;
  return new Date(Number(seconds) * 1000).toISOString().replace(".000", "");
}

function judgeCosignatures(note, trust, report) {
  for (const witness of trust.witnesses) {
    const seconds = note.seen.get(witness.public.toString("hex"));
    if (seconds !== undefined)
      report.facts.push(`cosigned by ${witness.label} at ${utc(seconds)}`);
  }
  const [seen, wanted] = [note.seen.size, trust.witnessesMin];
  if (seen < wanted)
    report.incomplete(CHECKPOINT, `${seen} of ${wanted} cosignatures by the given witnesses`);
  if (trust.witnesses.length === 0)
    report.unchecked.push(
      "that the holder of the log's key did not rewrite the log: no --witness was given",
    );
  if (note.others.length > 0)
    report.facts.push(`also signed by ${note.others.slice(0, 10).join(", ")}, not checked`);
}

const TOKEN = /^tokens\/(0|[1-9][0-9]{0,15})\/[^/]+\.tsr$/;

/** Check what a token is over; return what is left to check. */
function judgeToken(folder, name, notes) {
  const [size, token] = [name.split("/")[1], readSmall(folder, name).toString("hex")];
  const note = notes.get(`checkpoints/${size}.txt`) ?? notes.get(size);
  if (note === undefined)
    throw new Incomplete(name, `the checkpoint of size ${size} is not here, or not right`);
  const digest = sha256(Buffer.from(note.text));
  // How DER writes a TSTInfo's messageImprint; openssl, below, looks where it stands.
  const imprints = ["", "0500"].map((end) => `0609608648016503040201${end}0420${digest}`);
  if (!imprints.some((imprint) => token.includes(imprint)))
    throw new Tampered(name, `not a time-stamp token over the checkpoint of size ${size}`);
  return (
    `the authority's signature of ${name}: openssl ts -verify -token_in -in '${name}' ` +
    `-digest ${digest} -CAfile AUTHORITY.pem`
  );
}

/** Compare every file with the manifest; what was found cut may differ from it. */
function compareFiles(folder, entries) {
  const { report, manifest } = entries;
  for (const name of Object.keys(manifest.files).sort(byBytes)) {
    const [said, isEntries] = [manifest.files[name], ENTRY_FILES.includes(name)];
    if (report.has(name) && isEntries) continue;
    const file = report.attempt(openFile, folder, name);
    if (file === null) continue;
    const [size, digest] = [fs.fstatSync(file).size, crypto.createHash("sha256")];
    while (!isEntries && size === said.bytes) {
      const block = readBytes(file, BLOCK_BYTES);
      if (block.length === 0) break;
      digest.update(block);
    }
    closeFile(file);
    // The tree vouches for every whole line of the files of entries.
    const same = isEntries || digest.digest("hex") === said.sha256;
    if ((size !== said.bytes || !same) && !report.has(name)) {
      const text = `not the file that the manifest lists (${size} of ${said.bytes} bytes)`;
      report.tampered(name, text);
    }
  }
}

/** The files below `folder` that nobody vouches for, in order; links are not followed. */
function unlisted(folder, listed) {
  const found = new Set();
  const walk = (at, before) => {
    let each = [];
    try {
      each = fs.readdirSync(at, { withFileTypes: true, encoding: "buffer" });
    } catch {
      // What cannot be read is not listed, and no file of the manifest.
    }
    for (const entry of each) {
      const name = before + LENIENT.decode(entry.name);
      if (!entry.isDirectory()) found.add(name);
      else walk(Buffer.concat([at, Buffer.from("/"), entry.name]), `${name}/`);
    }
  };
  walk(Buffer.from(folder), "");
  return [...found].filter((name) => !listed.has(name)).sort(byBytes);
}

function judgeRest(folder, entries, manifest) {
  const { report } = entries;
  const { files, start, stop, size } = manifest;
  compareFiles(folder, entries);
  const names = Object.keys(files);
  const others = unlisted(folder, new Set([...names, MANIFEST, MANIFEST_NOTE, TRAILER]));
  for (const name of others.slice(0, NAMES_MAX))
    report.facts.push(`${show(name)}: not in the manifest and not looked at`);
  if (others.length > NAMES_MAX)
    report.facts.push(`${others.length - NAMES_MAX} more files that are not in the manifest`);
  const { unchecked } = report;
  if (names.some((name) => name.startsWith("views/")))
    unchecked.push("that the files in views/ say what the entries say");
  if (names.some((name) => name.startsWith("contracts/")))
    unchecked.push("that the files in contracts/ are those the events were made by");
  if (start > 0)
    unchecked.push(`what the entries before ${start} say: they are not in this bundle`);
  if (stop < size)
    unchecked.push(`what the entries ${stop} to ${size - 1} say: they are not in this bundle`);
  unchecked.push(
    `whether the log has entries after ${size - 1}, and whether another ` +
      "history was signed for somebody else: compare size and root",
  );
}

/** Take down what the bundle is, by its signed manifest. */
function tell(entries, manifest) {
  const { facts, unchecked } = entries.report;
  const { start, stop, said, head, count } = manifest;
  const actor = own(said, "actor");
  const who = isObject(actor) ? own(actor, "id") : undefined;
  facts.push(`log ${show(manifest.origin)}: ${head.size} entries, root ${head.root}`);
  facts.push(`this bundle: entries ${start} to ${stop - 1}, ${count} selected with their payloads`);
  const [created, reason, ticket] = ["created", "reason", "ticket"].map((at) => show(own(said, at)));
  facts.push(`exported ${created} by ${show(who)}, reason ${reason}, ticket ${ticket}`);
  if (manifest.reached)
    facts.push(`cut by the exporter at ${said.limits.entries_max ?? "None"} entries, as asked`);
  if (entries.sealed > 0)
    facts.push(
      `sealed items: ${entries.sealed}, of these disclosed and right: ${entries.opened}; ` +
        "the others are hidden or erased",
    );
  if (!manifest.provable)
    unchecked.push(
      "that every entry that fits the filter's 'fields' is selected: the exporter says so",
    );
}

/** Check everything in `folder`; what is found stands in `report`. */
function verifyBundle(folder, trust, report) {
  const manifest = report.attempt(readManifest, folder, trust);
  if (manifest === null) {
    report.unchecked.push("anything else: it is the manifest that says what there is");
    return;
  }
  report.attempt(checkTrailer, folder, trust, manifest);
  const [notes, heads] = [new Map(), new Map()];
  const names = Object.keys(manifest.files).sort(byBytes);
  for (const name of names) {
    const place = /^checkpoints\/(0|[1-9][0-9]{0,15})\.txt$/.exec(name);
    if (!place && name !== CHECKPOINT) continue;
    const opened = report.attempt(readHead, folder, name, trust, manifest.origin, report);
    if (opened === null) continue;
    const { note, head } = opened;
    const wanted = place ? Number(place[1]) : manifest.size;
    const inside = !place || (manifest.start < wanted && wanted <= manifest.stop);
    if (head.size !== wanted || !inside || (!place && !sameHead(head, manifest.head))) {
      report.tampered(name, "signed, but of another head than the manifest says");
      continue;
    }
    notes.set(place ? name : String(manifest.size), note);
    if (place) heads.set(name, head);
    else judgeCosignatures(note, trust, report);
  }
  const entries = report.attempt(() => new Entries(folder, manifest, report));
  if (entries === null) return;
  entries.read([...heads.values()].map((head) => head.size));
  tell(entries, manifest);
  judgeEntries(folder, entries, manifest, heads);
  report.attempt(judgeSince, manifest);
  if (trust.kept !== undefined) report.attempt(judgeKept, trust.kept, entries, manifest, trust);
  else report.unchecked.push("that the log grew out of what you saw before: no --since was given");
  const told = names
    .filter((name) => TOKEN.test(name))
    .map((name) => report.attempt(judgeToken, folder, name, notes))
    .filter((command) => command !== null);
  if (told.length > 0) {
    report.facts.push(`${told.length} time-stamp tokens over checkpoints`);
    report.unchecked.push(...told.slice(-NAMES_MAX));
  }
  if (told.length > NAMES_MAX)
    report.unchecked.push(`likewise ${told.length - NAMES_MAX} more time-stamp tokens`);
  judgeRest(folder, entries, manifest);
}

// A single entry's proof: C2SP tlog-proof.

/** Check that the leaf, given or carried along, is in the log as the proof says. */
function verifyProof(file, leafFile, trust, report) {
  const name = path.basename(file);
  const place = leafFile === undefined ? name : path.basename(leafFile);
  const data = readOutside(file);
  const blank = data.indexOf("\n\n");
  const lines = LENIENT.decode(blank < 0 ? data : data.subarray(0, blank)).split("\n");
  if (lines[0] !== "c2sp.org/tlog-proof@v1" || blank < 0)
    throw new Incomplete(name, "cut, or not a c2sp.org/tlog-proof@v1");
  const extra = lines[1]?.startsWith("extra ") ? lines.splice(1, 1)[0].slice(6) : null;
  const given = leafFile === undefined ? decodeBase64(extra) : readOutside(leafFile);
  if (given === null) throw new Incomplete(name, "it carries no leaf: give --leaf");
  const isLine = leafFile !== undefined && given.at(-1) === 10;
  const leaf = Buffer.concat([Buffer.alloc(1), given]).subarray(1, isLine ? -1 : undefined);
  const [word, number] = splitMax(lines[1] ?? "", " ", 2);
  const index = parseDecimal(number);
  const hashes = lines.slice(2).map(decodeBase64);
  if (word !== "index" || index === null || hashes.some((each) => each?.length !== 32))
    throw new Tampered(name, "not a c2sp.org/tlog-proof@v1: its index or a hash is malformed");
  const note = openNote(name, data.subarray(blank + 2), trust.keys, trust.witnesses);
  const { origin, head } = parseCheckpoint(name, note);
  report.facts.push(`log ${show(origin)}: ${head.size} entries, root ${head.root}`);
  judgeCosignatures(note, trust, report);
  if (index >= head.size)
    throw new Tampered(name, `proves entry ${index} in a log of ${head.size} entries`, index);
  const hex = hashes.map((each) => each.toString("hex"));
  if (inclusionRoot(index, head.size, leafHash(leaf), hex) !== head.root) {
    const text = `the leaf is not entry ${index} of the log that was signed`;
    throw new Tampered(place, text, index);
  }
  if (!saysIndex(leaf, index))
    throw new Tampered(place, `signed, but does not say that it is entry ${index}`, index);
  report.facts.push(
    `entry ${index} is in it; its payload's SHA-256 is ${show(leaf.latin1Slice(16, 80))}`,
  );
  report.unchecked.push("the payload, and every other entry");
}

// The command.

/** Do what the command line asks for; what is found stands in `report`. */
function run(chosen, report) {
  let keys = chosen.key.map((vkey) => parseKey(vkey));
  const witnesses = chosen.witness.map((vkey) => parseKey(vkey, WITNESS_KEY));
  const given = new Set(witnesses.map((key) => key.public.toString("hex"))).size;
  const witnessesMin = chosen["witnesses-min"] ?? given;
  for (const key of keys) report.facts.push(`key from outside: ${key.label}`);
  if (chosen.proof !== undefined) {
    if (keys.length === 0) throw new Incomplete("", "no key from outside: give --key");
    const trust = { keys, witnesses, witnessesMin };
    report.attempt(verifyProof, chosen.proof, chosen.leaf, trust, report);
    return;
  }
  if (!fs.statSync(chosen.bundle, { throwIfNoEntry: false })?.isDirectory())
    throw new Incomplete("", "the bundle is not a folder");
  if (keys.length === 0) {
    report.incomplete("", "no key from outside: at most internally consistent; give --key");
    const inside = LENIENT.decode(readSmall(chosen.bundle, "key.txt"));
    keys = inside.replace(/^[ \t\r\n]+|[ \t\r\n]+$/g, "").split("\n").slice(0, NAMES_MAX);
    keys = keys.map((vkey) => parseKey(vkey));
  }
  verifyBundle(chosen.bundle, { keys, witnesses, witnessesMin, kept: chosen.since }, report);
}

/** Verify as asked; return what `--json` prints. Used by the command below and by tests. */
export function verify(chosen) {
  const report = new Report();
  try {
    report.attempt(run, { key: [], witness: [], ...chosen }, report);
  } catch (error) {
    // A verifier that breaks down has verified nothing.
    report.incomplete("", `this verifier broke down: ${error.name}`);
  } finally {
    [...OPENED].forEach(closeFile);
  }
  const mark = (finding) => (finding instanceof Tampered ? "tampered" : "incomplete");
  const found = report.found.map(({ file, index, text }, at) => {
    return { class: mark(report.found[at]), file, index, text };
  });
  return {
    verdict: VERDICTS[report.code()],
    exit_code: report.code(),
    findings: found.sort((a, b) => (a.class < b.class ? 1 : a.class > b.class ? -1 : 0)),
    facts: report.facts,
    not_checked: [...report.unchecked, ...NEVER_CHECKED],
  };
}

const USAGE = `usage: verify.mjs BUNDLE --key VKEY [--key VKEY …] [--witness VKEY … [--witnesses-min K]]
                  [--since CHECKPOINT] [--json]
       verify.mjs --proof FILE.tlog-proof [--leaf FILE] --key VKEY [--witness VKEY …] [--json]`;

function readArguments() {
  const many = { type: "string", multiple: true, default: [] };
  const options = { key: many, witness: many, json: { type: "boolean" } };
  for (const name of ["witnesses-min", "since", "proof", "leaf"]) options[name] = { type: "string" };
  const { values, positionals } = parseArgs({ options, allowPositionals: true });
  const most = values["witnesses-min"];
  if (most !== undefined && !/^[1-9][0-9]{0,8}$/.test(most))
    throw new Error("--witnesses-min is at least 1");
  if (most !== undefined) values["witnesses-min"] = Number(most);
  const right = positionals.length === (values.proof === undefined ? 1 : 0);
  if (!right || (values.proof === undefined && values.leaf !== undefined))
    throw new Error("give BUNDLE, or --proof");
  return { ...values, bundle: positionals[0] };
}

function main() {
  let chosen;
  try {
    chosen = readArguments();
  } catch (error) {
    console.error(`${USAGE}\nverify.mjs: error: ${error.message}`);
    return 2;
  }
  const said = verify(chosen);
  const lines = chosen.json
    ? [JSON.stringify(said, null, 2)]
    : [
        `${said.verdict}: ${show(chosen.proof ?? chosen.bundle)}`,
        ...said.findings.map((at) => `  ${at.class}: ${at.file ? `${at.file}: ` : ""}${at.text}`),
        ...said.facts.map((text) => `  ${text}`),
        "Not checked:",
        ...said.not_checked.map((text) => `- ${text}`),
      ];
  fs.writeSync(1, `${lines.join("\n")}\n`);
  return said.exit_code;
}

if (process.argv[1] && fs.realpathSync(process.argv[1]) === fileURLToPath(import.meta.url))
  process.exitCode = main();
