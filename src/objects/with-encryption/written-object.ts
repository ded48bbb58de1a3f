/** What is wrong with an object that is to be written, told before a key is asked for or anything is sent. */
import { joinMetadata } from '../../format/write-envelope.ts';
import { assertAddress, type ObjectAddress } from '../object-setting.ts';
import { assertNoIndexKey } from '../segment-index-key.ts';

/**
 * @throws TypeError without bucket or key, and for metadata with a name of the envelope
 * @throws SealpipeError COMMAND_REFUSED for the key of a segment index
 */
export function assertWritable(input: {
  readonly Bucket?: string | undefined;
  readonly Key?: string | undefined;
  readonly Metadata?: Record<string, string> | undefined;
}): void {
  assertAddress(input as ObjectAddress);
  assertNoIndexKey(input);
  joinMetadata(input.Metadata ?? {}, {});
}
