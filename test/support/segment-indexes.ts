import { createCipheriv, createHash, hkdfSync } from 'node:crypto';
import { parseInstructionFile } from '../../src/format/instruction-file.ts';
import { parseEnvelope } from '../../src/format/parse-envelope.ts';
import type { TestEndpoint } from './endpoint.ts';

/** The index that a stored object should have, by the words of the format and nothing of ours but the unwrapping of its key. */
export async function expectedIndex(endpoint: TestEndpoint, key: string, size: number): Promise<Buffer> {
  return indexOf({ ...(await opened(endpoint, key)), size });
}

/** The data key of a stored object, and the key of its index. */
export async function indexSecrets(endpoint: TestEndpoint, key: string, size: number): Promise<Buffer[]> {
  const { dataKey, iv } = await opened(endpoint, key);
  return [Buffer.from(dataKey), indexKey(dataKey, iv, size)];
}

async function opened(
  endpoint: TestEndpoint,
  key: string,
): Promise<{ dataKey: Uint8Array; iv: Uint8Array; ciphertext: Buffer }> {
  const { body, metadata } = await endpoint.stored(key);
  const file = metadata['x-amz-3'] ?? metadata['x-amz-key-v2'];
  const instructions =
    file === undefined ? parseInstructionFile((await endpoint.stored(`${key}.instruction`)).body) : undefined;
  const envelope = parseEnvelope(metadata, instructions);
  const dataKey = await endpoint.keyring.unwrapDataKey({
    suite: envelope.suite,
    wrappedKey: envelope.wrappedKey,
    wrappingAlgorithm: envelope.wrappingAlgorithm,
    encryptionContext: envelope.description,
    materialsDescription: {},
    bucket: undefined,
    key: undefined,
  });
  return { dataKey, iv: envelope.iv, ciphertext: body.subarray(0, -16) };
}

const be32 = (n: number): Buffer => Buffer.from([n >>> 24, n >>> 16, n >>> 8, n].map((byte) => byte & 255));

function indexKey(dataKey: Uint8Array, iv: Uint8Array, size: number): Buffer {
  const info = Buffer.concat([Buffer.from('sealpipe segment index v1'), be32(size)]);
  return Buffer.from(hkdfSync('sha512', dataKey, iv, info, 32));
}

export function indexOf({
  dataKey,
  iv,
  ciphertext,
  size,
}: {
  dataKey: Uint8Array;
  iv: Uint8Array;
  ciphertext: Uint8Array;
  size: number;
}): Buffer {
  const be64 = (n: number): Buffer => Buffer.concat([be32(Math.floor(n / 2 ** 32)), be32(n % 2 ** 32)]);
  const key = indexKey(dataKey, iv, size);
  const mac = (type: number, i: number, aad: Uint8Array): Buffer => {
    const cipher = createCipheriv('aes-256-gcm', key, Buffer.concat([be32(type), be64(i)]));
    cipher.setAAD(aad);
    cipher.final();
    return cipher.getAuthTag();
  };
  const entries: Buffer[] = [];
  for (let at = 0; at < ciphertext.length; at += size)
    entries.push(mac(at + size >= ciphertext.length ? 1 : 0, at / size, ciphertext.subarray(at, at + size)));
  const sha = (bytes: Uint8Array): Buffer => createHash('sha256').update(bytes).digest();
  const head = Buffer.concat([
    Buffer.from('SEALSIDX'),
    be32(1),
    be32(size),
    be64(ciphertext.length),
    sha(iv).subarray(0, 16),
  ]);
  const checked = Buffer.concat([head, sha(head).subarray(0, 8)]);
  return Buffer.concat([...entries, checked, mac(2, 0, checked)]);
}
