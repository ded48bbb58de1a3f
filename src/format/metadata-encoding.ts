/**
 * Metadata values as they come back from a store.
 *
 * Amazon S3 reads the bytes of a header as Latin-1, keeps that text as UTF-8, and returns it as RFC 2047 words: UTF-8 that
 * was written comes back encoded twice. MinIO, moto and others return the bytes as they were. Both are undone here. A value
 * that merely contains something like an encoded word is left alone, as an encryption context may hold such text.
 */

const words = /^\s*=\?utf-8\?[qb]\?[^?\s]*\?=(?:\s+=\?utf-8\?[qb]\?[^?\s]*\?=)*\s*$/i;
const word = /=\?utf-8\?([qb])\?([^?\s]*)\?=/gi;

/** The text that a writer meant, of a metadata value as Node hands it out (one character a byte). */
export function decodeMetadataValue(value: string): string {
  if (words.test(value)) {
    const bytes = Buffer.concat(
      Array.from(value.matchAll(word), ([, encoding, text = '']) =>
        encoding?.toLowerCase() === 'q' ? quotedBytes(text) : Buffer.from(text, 'base64'),
      ),
    );
    const text = utf8(bytes);
    return text === undefined ? value : fromLatin1View(text);
  }
  return fromLatin1View(value);
}

/** Undoes the reading of UTF-8 bytes as Latin-1, where that is what happened. */
function fromLatin1View(text: string): string {
  if (!/[\u0080-\uffff]/.test(text) || /[\u0100-\uffff]/.test(text)) return text;
  return utf8(Buffer.from(text, 'latin1')) ?? text;
}

function quotedBytes(text: string): Buffer {
  const latin1 = text
    .replaceAll('_', ' ')
    .replace(/=([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  return Buffer.from(latin1, 'latin1');
}

function utf8(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}
