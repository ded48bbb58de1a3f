import {
  constants,
  createHash,
  createPrivateKey,
  createPublicKey,
  type KeyObject,
  publicEncrypt,
  randomBytes,
} from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fixture } from './project.ts';

/** Key pairs of the conformance set; making new ones takes seconds. */
export type RsaKeyName = 'rsa2048-a' | 'rsa2048-b' | 'rsa3072' | 'rsa4096';

export interface RsaPair {
  readonly privatePem: string;
  readonly publicPem: string;
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
}

export function rsaPair(name: RsaKeyName): RsaPair {
  const privatePem = readFileSync(fixture('vectors', 'keys', `${name}.pkcs8.pem`), 'latin1');
  const publicPem = readFileSync(fixture('vectors', 'keys', `${name}.spki.pem`), 'latin1');
  return { privatePem, publicPem, privateKey: createPrivateKey(privatePem), publicKey: createPublicKey(publicPem) };
}

/** RSA without padding of a block that was padded by hand. */
export function rawEncrypt(key: KeyObject, encoded: Uint8Array): Buffer {
  return publicEncrypt({ key, padding: constants.RSA_NO_PADDING }, encoded);
}

/** 00 02 ‖ nonzero padding ‖ 00 ‖ message (RFC 8017, 7.2.1). */
export function pkcs1Encoded(message: Uint8Array, length: number): Buffer {
  const padding = randomBytes(length - message.length - 3).map((byte) => byte || 1);
  return Buffer.concat([Buffer.of(0, 2), padding, Buffer.of(0), message]);
}

/** OAEP with SHA-256 over an empty label and MGF1-SHA-1 (RFC 8017, 7.1.1): what Java makes of its default parameters. */
export function oaepEncoded(message: Uint8Array, length: number): Buffer {
  const hash = createHash('sha256').digest();
  const block = Buffer.alloc(length - 33);
  hash.copy(block);
  block[block.length - message.length - 1] = 1;
  block.set(message, block.length - message.length);
  const seed = randomBytes(32);
  const masked = xor(block, mgf1(seed, block.length));
  return Buffer.concat([Buffer.of(0), xor(seed, mgf1(masked, 32)), masked]);
}

function mgf1(seed: Uint8Array, length: number): Buffer {
  const blocks = Array.from({ length: Math.ceil(length / 20) }, (_, counter) => {
    const four = Buffer.alloc(4);
    four.writeUInt32BE(counter);
    return createHash('sha1').update(seed).update(four).digest();
  });
  return Buffer.concat(blocks).subarray(0, length);
}

function xor(a: Uint8Array, b: Uint8Array): Buffer {
  return Buffer.from(a.map((byte, i) => byte ^ (b[i] as number)));
}
