/** Keys from files. A key is never an argument: the process list and the shell's history show those to others. */
import { createSecretKey, type KeyObject } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { SealpipeError } from '../index.ts';
import { UsageError } from './usage-error.ts';

/** Bytes of the largest key file that is read: an RSA key of 16 384 bits in PEM has 13 KB. */
const maxKeyFileLength = 64 * 1024;

/** Told of a file that others on this machine can read. */
export type WarnOfKeyFile = (message: string) => void;

/**
 * Reads an AES key: 16, 24 or 32 bytes raw, or as hex or base64 with or without white space at the end.
 *
 * Where two readings fit: 32 hex digits are hex (as raw bytes they would be a key of half the strength that it seems to have);
 * 32 other characters of base64 without a line end are raw.
 * @throws SealpipeError CONFIG_INVALID when the file holds no such key
 */
export async function readAesKey(path: string, warn: WarnOfKeyFile): Promise<KeyObject> {
  const bytes = await readKeyFile(path, warn);
  try {
    const key = decodeAesKey(bytes);
    if (key === undefined)
      throw new SealpipeError(
        'CONFIG_INVALID',
        `${path} holds ${bytes.length} bytes that are no AES key: expected 16, 24 or 32 bytes, raw, in hex or in base64`,
      );
    const secret = createSecretKey(key);
    key.fill(0);
    return secret;
  } finally {
    bytes.fill(0);
  }
}

/** Reads an RSA key in PEM; what it holds is checked by the keyring. */
export async function readPem(path: string, warn: WarnOfKeyFile | undefined): Promise<string> {
  const bytes = await readKeyFile(path, warn);
  const text = bytes.toString('latin1');
  bytes.fill(0);
  if (!text.includes('-----BEGIN '))
    throw new SealpipeError('CONFIG_INVALID', `${path} holds no PEM: expected a line -----BEGIN … KEY-----`);
  return text;
}

/** Reads a key of either kind for decryption: PEM is RSA, everything else AES. */
export async function readDecryptionKey(
  path: string,
  warn: WarnOfKeyFile,
): Promise<{ kind: 'rsa'; pem: string } | { kind: 'aes'; key: KeyObject }> {
  const bytes = await readKeyFile(path, undefined);
  const pem = bytes.includes('-----BEGIN ');
  bytes.fill(0);
  return pem ? { kind: 'rsa', pem: await readPem(path, warn) } : { kind: 'aes', key: await readAesKey(path, warn) };
}

/** Key bytes of a key file's content, or undefined. Exported for its tests. */
export function decodeAesKey(bytes: Buffer): Buffer | undefined {
  const text = bytes.toString('latin1').trim();
  const lengths = [16, 24, 32];
  if (/^[0-9a-f]+$/i.test(text) && lengths.includes(text.length / 2)) return Buffer.from(text, 'hex');
  if (/^[A-Za-z0-9+/]+={0,2}$/.test(text) && text.length % 4 === 0) {
    const decoded = Buffer.from(text, 'base64');
    if (lengths.includes(decoded.length) && !lengths.includes(bytes.length)) return decoded;
    // 32 characters of base64 are 24 bytes, 24 are 16 (with padding): where raw and base64 both fit, padding tells.
    if (lengths.includes(decoded.length) && text.endsWith('=')) return decoded;
  }
  return lengths.includes(bytes.length) ? Buffer.from(bytes) : undefined;
}

async function readKeyFile(path: string, warn: WarnOfKeyFile | undefined): Promise<Buffer> {
  refuseKeyMaterial(path);
  try {
    const { size, mode } = await stat(path);
    if (size > maxKeyFileLength) throw new Error(`it has ${size} bytes, a key file has at most ${maxKeyFileLength}`);
    if (warn !== undefined && process.platform !== 'win32' && (mode & 0o004) !== 0)
      warn(`the key file ${path} can be read by every user of this machine: chmod 600 keeps it yours`);
    return await readFile(path);
  } catch (cause) {
    if (cause instanceof UsageError) throw cause;
    throw new SealpipeError('CONFIG_INVALID', `the key file ${path} cannot be read: ${reasonOf(cause)}`, { cause });
  }
}

/** Refuses a key that was given in the place of a file's name. It is not repeated in the message. */
function refuseKeyMaterial(path: string): void {
  const text = path.trim();
  const likeKey =
    text.startsWith('-----BEGIN') ||
    /^([0-9a-f]{32}|[0-9a-f]{48}|[0-9a-f]{64})$/i.test(text) ||
    /^([A-Za-z0-9+/]{22}==|[A-Za-z0-9+/]{32}|[A-Za-z0-9+/]{43}=)$/.test(text);
  if (likeKey && !existsSync(path))
    throw new UsageError(
      'what was given in the place of a key file looks like a key itself: other users see the arguments of a command, and the shell keeps them; ' +
        'take it for exposed, make a new one, put it into a file that only you can read (chmod 600), and give the name of that file',
    );
}

function reasonOf(cause: unknown): string {
  const { code, message } = cause as NodeJS.ErrnoException;
  if (code === 'ENOENT') return 'it does not exist';
  if (code === 'EACCES' || code === 'EPERM') return 'permission denied';
  if (code === 'EISDIR') return 'it is a folder';
  return message;
}
