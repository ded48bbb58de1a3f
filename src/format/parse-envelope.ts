/** From metadata to an {@link Envelope}. Pure, and strict: whatever is not exactly right is an error that names the field. */
import { SealpipeError } from '../errors.ts';
import {
  claimedLengthKey,
  contentKeysV3,
  type Envelope,
  type EnvelopeStorage,
  envelopeKeys,
  isKmsWrapping,
  isLegacyWrapping,
  reservedContextKey,
  type WrappingAlgorithm,
  wrappingCodesV3,
} from './envelope.ts';
import { decodeMetadataValue } from './metadata-encoding.ts';
import { parseMap, type StringMap } from './string-map.ts';
import { type ContentSuite, cbcSuite, commitmentLength, committingSuite, gcmSuite, messageIdLength } from './suites.ts';

/** Where the envelope of an object has to be looked for. */
export type EnvelopePlace =
  | { readonly place: 'metadata' }
  /** `required`: the metadata holds the content part of a V3 envelope, so without the file the object is broken, not plain. */
  | { readonly place: 'instruction-file'; readonly required: boolean };

/** Tells from an object's metadata where its envelope is. */
export function locateEnvelope(metadata: StringMap): EnvelopePlace {
  const present = envelopeKeys.filter((name) => Object.hasOwn(metadata, name));
  if (present.length === 0) return { place: 'instruction-file', required: false };
  const onlyContentKeys =
    present.length === contentKeysV3.length && present.every((name) => contentKeysV3.includes(name));
  return onlyContentKeys ? { place: 'instruction-file', required: true } : { place: 'metadata' };
}

/**
 * Reads the envelope of an object.
 *
 * @param metadata the object's user metadata, names without `x-amz-meta-`, values as HTTP handed them out
 * @param instructionFile the map in the instruction file, where {@link locateEnvelope} asked for one
 * @throws SealpipeError ENVELOPE_INVALID
 */
export function parseEnvelope(metadata: StringMap, instructionFile?: StringMap): Envelope {
  if (instructionFile === undefined) return parseFields(decoded(metadata), 'metadata');
  const own = decoded(metadata);
  for (const name of contentKeysV3) {
    if (Object.hasOwn(instructionFile, name)) {
      // Content key derivation must not be steered by a file that can be replaced apart from the object.
      throw invalid(
        `the instruction file holds ${name}, which belongs in the object's metadata alone: the file was tampered with`,
      );
    }
  }
  const inMetadata = envelopeKeys.filter((name) => Object.hasOwn(own, name));
  const claimed = own[claimedLengthKey] === undefined ? {} : { [claimedLengthKey]: own[claimedLengthKey] };
  return parseFields(
    { ...claimed, ...instructionFile, ...Object.fromEntries(inMetadata.map((name) => [name, own[name] as string])) },
    'instruction-file',
  );
}

function decoded(metadata: StringMap): StringMap {
  return Object.fromEntries(
    Object.entries(metadata)
      .filter(([name]) => envelopeKeys.includes(name) || name === claimedLengthKey)
      .map(([name, value]) => [name, decodeMetadataValue(value)]),
  );
}

function parseFields(fields: StringMap, storage: EnvelopeStorage): Envelope {
  const keys = ['x-amz-key', 'x-amz-key-v2', 'x-amz-3'].filter((name) => Object.hasOwn(fields, name));
  if (keys.length > 1) {
    // Choosing one of two formats would let whoever can write metadata choose the weaker.
    throw invalid(`${keys.join(' and ')} stand side by side: expected one wrapped key, refused as tampered with`);
  }
  const foreign = contentKeysV3.find((name) => Object.hasOwn(fields, name));
  if (keys.length === 1 && keys[0] !== 'x-amz-3' && foreign !== undefined) {
    // A V3 object whose instruction file was exchanged for one of an older format would otherwise be read by that format's rules.
    throw invalid(`${foreign} of format V3 stands beside ${keys[0]}: refused as tampered with`);
  }
  const envelope =
    keys[0] === 'x-amz-3'
      ? parseV3(fields, storage)
      : keys[0] === 'x-amz-key-v2'
        ? parseV2(fields, storage)
        : keys[0] === 'x-amz-key'
          ? parseV1(fields, storage)
          : undefined;
  if (envelope === undefined) {
    const found = envelopeKeys.filter((name) => Object.hasOwn(fields, name));
    const where = storage === 'metadata' ? "the object's metadata" : 'the instruction file';
    throw invalid(
      `${where} has no wrapped key (x-amz-3, x-amz-key-v2 or x-amz-key)${found.length > 0 ? `, though ${found.join(', ')}` : ''}: the envelope is incomplete`,
    );
  }
  checkBinding(envelope);
  return envelope;
}

function parseV3(fields: StringMap, storage: EnvelopeStorage): Envelope {
  const suite = required(fields, 'x-amz-c', 'V3');
  if (suite !== '115') throw invalid(`x-amz-c is ${quoted(suite)}: expected 115, the one content suite of format V3`);
  const code = required(fields, 'x-amz-w', 'V3');
  const wrappingAlgorithm = wrappingCodesV3.get(code);
  if (wrappingAlgorithm === undefined) {
    throw invalid(`x-amz-w is ${quoted(code)}: expected 02 (AES/GCM), 12 (kms+context) or 22 (RSA-OAEP-SHA1)`);
  }
  const iv = bytes(fields, 'x-amz-i', 'V3', messageIdLength);
  refuseZero(iv, 'x-amz-i');
  const field = wrappingAlgorithm === 'kms+context' ? 'x-amz-t' : 'x-amz-m';
  return {
    format: 'V3',
    suite: committingSuite,
    storage,
    wrappedKey: bytes(fields, 'x-amz-3', 'V3'),
    wrappingAlgorithm,
    iv,
    commitment: bytes(fields, 'x-amz-d', 'V3', commitmentLength),
    description: description(fields, field),
    // Not in the format; an unrelated key is tolerated, and a GCM length needs no claim.
    claimedLength: undefined,
  };
}

const namesV2: readonly WrappingAlgorithm[] = [
  'kms+context',
  'AES/GCM',
  'RSA-OAEP-SHA1',
  'kms',
  'AESWrap',
  'AES',
  'RSA/ECB/OAEPWithSHA-256AndMGF1Padding',
  'RSA',
];

function parseV2(fields: StringMap, storage: EnvelopeStorage): Envelope {
  const suite = contentSuite(required(fields, 'x-amz-cek-alg', 'V2'));
  return {
    format: 'V2',
    suite,
    storage,
    wrappedKey: bytes(fields, 'x-amz-key-v2', 'V2'),
    wrappingAlgorithm: wrappingName(required(fields, 'x-amz-wrap-alg', 'V2')),
    iv: contentIv(fields, 'V2', suite, { tagLengthRequired: true }),
    commitment: undefined,
    description: description(fields, 'x-amz-matdesc'),
    claimedLength: claimedLength(fields),
  };
}

function parseV1(fields: StringMap, storage: EnvelopeStorage): Envelope {
  const algorithm = fields['x-amz-cek-alg'];
  const suite = algorithm === undefined ? cbcSuite : contentSuite(algorithm);
  const wrappedKey = bytes(fields, 'x-amz-key', 'V1');
  const wrapping = fields['x-amz-wrap-alg'];
  // V1 writers named no algorithm. An AES-wrapped 32-byte key takes 48 bytes, an RSA-wrapped one at least 256.
  const wrappingAlgorithm = wrapping !== undefined ? wrappingName(wrapping) : wrappedKey.length > 48 ? 'RSA' : 'AES';
  if (!isLegacyWrapping(wrappingAlgorithm))
    throw invalid(`x-amz-wrap-alg is ${quoted(wrapping ?? '')}: format V1 never had it`);
  required(fields, 'x-amz-matdesc', 'V1');
  return {
    format: 'V1',
    suite,
    storage,
    wrappedKey,
    wrappingAlgorithm,
    iv: contentIv(fields, 'V1', suite, { tagLengthRequired: false }),
    commitment: undefined,
    description: description(fields, 'x-amz-matdesc'),
    claimedLength: claimedLength(fields),
  };
}

function contentSuite(name: string): ContentSuite {
  if (name === 'AES/GCM/NoPadding') return gcmSuite;
  if (name === 'AES/CBC/PKCS5Padding') return cbcSuite;
  throw invalid(`x-amz-cek-alg is ${quoted(name)}: expected AES/GCM/NoPadding or AES/CBC/PKCS5Padding`);
}

function wrappingName(name: string): WrappingAlgorithm {
  const known = namesV2.find((candidate) => candidate === name);
  if (known === undefined) throw invalid(`x-amz-wrap-alg is ${quoted(name)}: expected one of ${namesV2.join(', ')}`);
  return known;
}

function contentIv(
  fields: StringMap,
  format: 'V1' | 'V2',
  suite: ContentSuite,
  { tagLengthRequired }: { tagLengthRequired: boolean },
): Uint8Array {
  const tagBits =
    tagLengthRequired && suite.authenticated ? required(fields, 'x-amz-tag-len', format) : fields['x-amz-tag-len'];
  if (suite.authenticated && tagBits !== undefined && tagBits !== '128') {
    throw invalid(`x-amz-tag-len is ${quoted(tagBits)}: expected 128, as a shorter tag would be easier to forge`);
  }
  if (!suite.authenticated && tagBits !== undefined) {
    throw invalid(
      'x-amz-tag-len stands beside AES/CBC/PKCS5Padding, which has no tag: the content algorithm was altered',
    );
  }
  const iv = bytes(fields, 'x-amz-iv', format, suite.ivLength);
  refuseZero(iv, 'x-amz-iv');
  return iv;
}

/** The binding that the wrapping carries in the clear is compared here; AAD and OAEP suffix are compared by unwrapping. */
function checkBinding({ wrappingAlgorithm, suite, description: context }: Envelope): void {
  if (suite.binding === null && !isLegacyWrapping(wrappingAlgorithm)) {
    throw invalid(
      `AES/CBC/PKCS5Padding content with ${wrappingAlgorithm}, which only ever wraps GCM keys: the content algorithm was altered`,
    );
  }
  if (!isKmsWrapping(wrappingAlgorithm)) return;
  const bound = Object.hasOwn(context, reservedContextKey) ? context[reservedContextKey] : undefined;
  if (wrappingAlgorithm === 'kms' && bound !== undefined) {
    throw invalid(
      `the wrapping is named kms, but the stored context holds ${reservedContextKey}: a kms+context object with its label changed`,
    );
  }
  if (wrappingAlgorithm === 'kms+context' && bound !== suite.binding) {
    throw invalid(
      bound === undefined
        ? `the stored encryption context lacks ${reservedContextKey}, which kms+context always stores: refused as altered`
        : `the stored encryption context binds the data key to ${quoted(bound)}, but the envelope names ${String(suite.binding)}: refused as altered`,
    );
  }
}

function claimedLength(fields: StringMap): number | undefined {
  const claim = fields[claimedLengthKey];
  return claim !== undefined && /^\d{1,16}$/.test(claim) ? Number(claim) : undefined;
}

function description(fields: StringMap, field: string): StringMap {
  const json = fields[field];
  return json === undefined ? {} : parseMap(json, field);
}

function required(fields: StringMap, name: string, format: string): string {
  const value = Object.hasOwn(fields, name) ? fields[name] : undefined;
  if (value === undefined) throw invalid(`${name} is missing: format ${format} needs it`);
  return value;
}

function bytes(fields: StringMap, name: string, format: string, length?: number): Uint8Array {
  const value = required(fields, name, format);
  const result = Buffer.from(value, 'base64');
  // Node skips what is not base64; writing it back shows whether anything was skipped.
  if (value.length === 0 ? length !== undefined : result.toString('base64') !== value) {
    throw invalid(
      `${name} is ${value.length === 0 ? 'empty' : 'not base64'}: expected ${length ?? 'some'} bytes in base64`,
    );
  }
  if (length !== undefined && result.length !== length)
    throw invalid(`${name} has ${result.length} bytes, expected ${length}`);
  if (result.length === 0) throw invalid(`${name} is empty`);
  return Uint8Array.from(result);
}

function refuseZero(value: Uint8Array, name: string): void {
  if (value.every((byte) => byte === 0))
    throw invalid(`${name} is all zero, the sign of a broken random generator: refused`);
}

function quoted(value: string): string {
  return JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}…` : value);
}

function invalid(message: string): SealpipeError {
  return new SealpipeError('ENVELOPE_INVALID', message);
}
