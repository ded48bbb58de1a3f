/**
 * Ciphertexts of symmetric keys. Clients treat them as opaque; AWS's own layout is not published.
 *
 *     "SKMS" ‖ 1 ‖ length of key id (1) ‖ key id ‖ number of key material (2) ‖ IV (12) ‖ ciphertext ‖ tag (16)
 *
 * AES-256-GCM. Additional data: everything before the IV, then the encryption context, so that neither can be exchanged.
 */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';

export type EncryptionContext = Readonly<Record<string, string>>;

const magic = Buffer.from('SKMS\u0001', 'latin1');
const ivBytes = 12;
const tagBytes = 16;

export interface OpenedHead {
  readonly keyId: string;
  /** Which of the key's materials, counted from 0 over its rotations. */
  readonly material: number;
}

// Sorted and with lengths, so that two contexts have the same bytes only if they are the same map.
function encodeContext(context: EncryptionContext): Buffer {
  const pieces: Buffer[] = [];
  const entries = Object.entries(context).map(([name, value]) => [Buffer.from(name), Buffer.from(value)] as const);
  entries.sort(([a], [b]) => Buffer.compare(a, b));
  for (const entry of entries) {
    for (const text of entry) {
      const length = Buffer.alloc(4);
      length.writeUInt32BE(text.length);
      pieces.push(length, text);
    }
  }
  return Buffer.concat(pieces);
}

export function sealCiphertext(
  head: OpenedHead,
  key: Uint8Array,
  context: EncryptionContext,
  plaintext: Uint8Array,
): Buffer {
  const id = Buffer.from(head.keyId, 'latin1');
  const material = Buffer.alloc(2);
  material.writeUInt16BE(head.material);
  const prefix = Buffer.concat([magic, Buffer.from([id.length]), id, material]);
  const iv = randomBytes(ivBytes);
  const cipher = createCipheriv('aes-256-gcm', key, iv, { authTagLength: tagBytes });
  cipher.setAAD(Buffer.concat([prefix, encodeContext(context)]));
  return Buffer.concat([prefix, iv, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
}

/** Which key made a ciphertext, or undefined for what is none. */
export function readCiphertextHead(blob: Buffer): (OpenedHead & { readonly prefixLength: number }) | undefined {
  if (blob.length < magic.length + 1 || !blob.subarray(0, magic.length).equals(magic)) return undefined;
  const idLength = blob[magic.length]!;
  const prefixLength = magic.length + 1 + idLength + 2;
  if (blob.length < prefixLength + ivBytes + tagBytes) return undefined;
  return {
    keyId: blob.toString('latin1', magic.length + 1, prefixLength - 2),
    material: blob.readUInt16BE(prefixLength - 2),
    prefixLength,
  };
}

/** The plaintext, or undefined where key, context or a byte is not that of the encryption. */
export function openCiphertext(
  blob: Buffer,
  prefixLength: number,
  key: Uint8Array,
  context: EncryptionContext,
): Buffer | undefined {
  const iv = blob.subarray(prefixLength, prefixLength + ivBytes);
  const decipher = createDecipheriv('aes-256-gcm', key, iv, { authTagLength: tagBytes });
  decipher.setAAD(Buffer.concat([blob.subarray(0, prefixLength), encodeContext(context)]));
  decipher.setAuthTag(blob.subarray(blob.length - tagBytes));
  try {
    return Buffer.concat([
      decipher.update(blob.subarray(prefixLength + ivBytes, blob.length - tagBytes)),
      decipher.final(),
    ]);
  } catch {
    return undefined;
  }
}
