// The Transform streams alone: encrypt a file on disk into the object format, with no S3 anywhere, and back.
import { randomBytes } from 'node:crypto';
import { createReadStream, createWriteStream, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { aesKeyring, createDecryptStream, createEncryptStream } from 'sealpipe';

const folder = mkdtempSync(join(tmpdir(), 'sealpipe-example-'));
const [plain, stored, back] = ['plain', 'stored', 'back'].map((name) => join(folder, name)) as [string, string, string];
writeFileSync(plain, 'a line of text\n'.repeat(100_000));

const keyring = aesKeyring({ key: randomBytes(32), materialsDescription: { key: 'example' } });
const encrypt = createEncryptStream({ keyring });
await pipeline(createReadStream(plain), encrypt, createWriteStream(stored));

// What would be the object's user metadata in S3. Everything in it is public.
const envelope = await encrypt.envelope;
console.log(Object.keys(envelope).sort().join(' '));

// To a file, plaintext may come out before the tag at the end is verified: an error then means that the file must not be used.
await pipeline(
  createReadStream(stored),
  createDecryptStream({ keyring, envelope, release: 'delayed' }),
  createWriteStream(back),
);
console.log(readFileSync(back).equals(readFileSync(plain)) ? 'the same bytes came back' : 'this cannot happen');
rmSync(folder, { recursive: true });
