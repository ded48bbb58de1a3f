/** Well-formed metadata of each format, to be made wrong one field at a time. */
const base64 = (length: number, fill: number): string => Buffer.alloc(length, fill).toString('base64');

export const envelopeV3: Readonly<Record<string, string>> = {
  'x-amz-c': '115',
  'x-amz-3': base64(60, 1),
  'x-amz-w': '02',
  'x-amz-d': base64(28, 2),
  'x-amz-i': base64(28, 3),
  'x-amz-m': '{"key":"a"}',
};

export const envelopeV3Kms: Readonly<Record<string, string>> = {
  'x-amz-c': '115',
  'x-amz-3': base64(184, 1),
  'x-amz-w': '12',
  'x-amz-d': base64(28, 2),
  'x-amz-i': base64(28, 3),
  'x-amz-t': '{"dataset":"a","aws:x-amz-cek-alg":"115"}',
};

export const envelopeV2: Readonly<Record<string, string>> = {
  'x-amz-key-v2': base64(60, 1),
  'x-amz-iv': base64(12, 3),
  'x-amz-cek-alg': 'AES/GCM/NoPadding',
  'x-amz-wrap-alg': 'AES/GCM',
  'x-amz-tag-len': '128',
  'x-amz-matdesc': '{}',
};

export const envelopeV2Kms: Readonly<Record<string, string>> = {
  ...envelopeV2,
  'x-amz-wrap-alg': 'kms+context',
  'x-amz-matdesc': '{"dataset":"a","aws:x-amz-cek-alg":"AES/GCM/NoPadding"}',
};

export const envelopeV2Cbc: Readonly<Record<string, string>> = {
  'x-amz-key-v2': base64(40, 1),
  'x-amz-iv': base64(16, 3),
  'x-amz-cek-alg': 'AES/CBC/PKCS5Padding',
  'x-amz-wrap-alg': 'AESWrap',
  'x-amz-matdesc': '{}',
};

export const envelopeV1: Readonly<Record<string, string>> = {
  'x-amz-key': base64(48, 1),
  'x-amz-iv': base64(16, 3),
  'x-amz-matdesc': '{"key":"a"}',
};

/** A copy with some fields replaced, and those given as undefined left out. */
export function edited(
  envelope: Readonly<Record<string, string>>,
  changes: Readonly<Record<string, string | undefined>>,
): Record<string, string> {
  return Object.fromEntries(
    Object.entries({ ...envelope, ...changes }).filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
}
