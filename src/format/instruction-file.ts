/** The body of an instruction file: one JSON object of strings, in plain UTF-8. Pure. */
import { SealpipeError } from '../errors.ts';
import type { StringMap } from './string-map.ts';
import { stringifyMap } from './string-map.ts';

/** Largest instruction file that is read, in bytes. KMS allows 8 KiB of context, so no honest one comes near. */
export const maxInstructionFileLength: number = 256 * 1024;

/** Most bytes of an object's key, in UTF-8. https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html */
export const maxKeyLength = 1024;

/**
 * @throws SealpipeError ENVELOPE_INVALID when the body is not a JSON object of strings
 */
export function parseInstructionFile(body: Uint8Array): StringMap {
  let value: unknown;
  try {
    // Drops a byte order mark, as the Java client does; anything else around the JSON is an error.
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
  } catch (cause) {
    throw new SealpipeError(
      'ENVELOPE_INVALID',
      'the instruction file is not JSON in UTF-8: expected an object of strings',
      { cause },
    );
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new SealpipeError(
      'ENVELOPE_INVALID',
      'the instruction file is JSON but no object: expected an object of strings',
    );
  }
  const odd = Object.entries(value).find(([, entry]) => typeof entry !== 'string');
  if (odd !== undefined) {
    throw new SealpipeError(
      'ENVELOPE_INVALID',
      `the instruction file has a value that is no string under ${JSON.stringify(odd[0])}`,
    );
  }
  return value as StringMap;
}

/** The body of an instruction file to be stored. ASCII only, so that the Java client can read it back (it cannot otherwise). */
export function writeInstructionFile(map: StringMap): Buffer {
  return Buffer.from(stringifyMap(map), 'latin1');
}
