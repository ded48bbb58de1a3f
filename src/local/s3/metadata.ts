/**
 * User metadata as S3 keeps and returns it.
 *
 * Header values arrive as bytes. S3 reads those as Latin-1, and returns what is not ASCII as an RFC 2047 word around the UTF-8 of
 * that reading: a value sent as UTF-8 comes back encoded twice. Other stores return the bytes as they came (`rawMetadata`).
 * Throughout, a string holds one character per byte.
 */
import { S3Error } from './s3-error.ts';

const prefix = 'x-amz-meta-';
const maximumBytes = 2048; // names without the prefix, and values ("Working with object metadata", Amazon S3 user guide)

/** User metadata of a request, names in lower case. @throws S3Error MetadataTooLarge */
export function readMetadata(headers: Iterable<readonly [name: string, value: string]>): Record<string, string> {
  const metadata: Record<string, string> = {};
  let size = 0;
  for (const [name, value] of headers) {
    if (!name.startsWith(prefix)) continue;
    const bare = name.slice(prefix.length);
    Object.defineProperty(metadata, bare, { value, enumerable: true, configurable: true, writable: true });
    size += bare.length + value.length;
  }
  if (size > maximumBytes) {
    throw new S3Error('MetadataTooLarge', { fields: { Size: size, MaxSizeAllowed: maximumBytes } });
  }
  return metadata;
}

/** The headers that return user metadata. */
export function metadataHeaders(
  metadata: Readonly<Record<string, string>>,
  options: { readonly raw: boolean },
): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(metadata)) {
    headers[prefix + name] = options.raw ? value : encodeValue(value);
  }
  return headers;
}

/** As S3 returns a value: itself if ASCII, else an RFC 2047 word; Q where most of it is ASCII, B where not. */
export function encodeValue(value: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: everything beyond ASCII is meant
  const beyond = value.match(/[^\x00-\x7f]/g)?.length ?? 0;
  if (beyond === 0) return value;
  const utf8 = Buffer.from(value, 'utf8');
  if (beyond * 2 > value.length) return `=?UTF-8?B?${utf8.toString('base64')}?=`;
  const quoted = Array.from(utf8, (byte) => {
    const character = String.fromCharCode(byte);
    if (character === ' ') return '_';
    return /[A-Za-z0-9!*+/-]/.test(character) ? character : `=${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  });
  return `=?UTF-8?Q?${quoted.join('')}?=`;
}
