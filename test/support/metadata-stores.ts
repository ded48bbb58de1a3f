/** What reading a metadata value back gives, as Node hands it out, of a writer that sent its UTF-8 bytes raw. */

/** MinIO, moto and others: the same bytes. Node shows them as Latin-1. */
export function fromPlainStore(value: string): string {
  return Buffer.from(value, 'utf8').toString('latin1');
}

/**
 * Amazon S3: the bytes are read as Latin-1 and that text is encoded as UTF-8 in RFC 2047 words. ASCII comes back as it is.
 * @param wordLength bytes in one word; 0 for all in one
 */
export function fromAmazonS3(
  value: string,
  { encoding, wordLength = 0 }: { encoding: 'Q' | 'B'; wordLength?: number },
): string {
  if (Buffer.byteLength(value) === value.length) return value;
  const twice = Buffer.from(fromPlainStore(value), 'utf8');
  const size = wordLength === 0 ? twice.length : wordLength;
  const words: string[] = [];
  for (let at = 0; at < twice.length; at += size) {
    const part = twice.subarray(at, at + size);
    words.push(`=?UTF-8?${encoding}?${encoding === 'B' ? part.toString('base64') : quoted(part)}?=`);
  }
  return words.join(' ');
}

function quoted(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => {
    if (byte === 0x20) return '_';
    const printable = byte > 0x20 && byte < 0x7f && !'=?_'.includes(String.fromCharCode(byte));
    return printable ? String.fromCharCode(byte) : `=${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }).join('');
}
