import { type FetchedRanges, readRange } from '../orc/byte-ranges.ts';
import type { RangeSource } from '../range-source.ts';
import type { ArrowBlock } from './arrow-file.ts';
import { formatInvalid } from './format-error.ts';
import { metadataLength, readMessage } from './message.ts';
import type { ArrowSchema } from './schema.ts';

/** How much is read at a time: metadata is small, and small batches lie in it whole. */
const windowBytes = 64 * 1024;

/** Goes from message to message of a stream, without reading long bodies. */
export async function readStreamBlocks(
  source: RangeSource,
  { fetched, signal }: { fetched: FetchedRanges; signal: AbortSignal | undefined },
): Promise<{
  schema: ArrowSchema;
  blocks: { dictionaries: ArrowBlock[]; recordBatches: ArrowBlock[] };
  complete: boolean;
}> {
  const { size } = source;
  const read = async (start: number, end: number): Promise<Uint8Array> => {
    const held = fetched.find({ start, end });
    if (held !== undefined) return held;
    const last = Math.min(size, Math.max(end, start + windowBytes));
    fetched.add(start, await readRange(source, { start, end: last }, { signal }));
    return fetched.get({ start, end });
  };
  let schema: ArrowSchema | undefined;
  const blocks = { dictionaries: [] as ArrowBlock[], recordBatches: [] as ArrowBlock[] };
  let position = 0;
  let complete = false;
  while (position < size) {
    const prefix = await read(position, Math.min(size, position + 8));
    const { prefixBytes, length } = metadataLength(prefix, position);
    if (length === 0) {
      complete = true;
      break;
    }
    if (length < 0 || prefixBytes + length > size - position) {
      throw formatInvalid(`a message claims ${length} bytes of metadata, ${size - position} are left`, position);
    }
    const metadata = await read(position + prefixBytes, position + prefixBytes + length);
    const message = readMessage(metadata, { offset: position + prefixBytes });
    const stored = prefixBytes + length;
    if (message.bodyLength > size - position - stored) {
      throw formatInvalid(
        `a ${message.type} claims a body of ${message.bodyLength} bytes, ${size - position - stored} are left`,
        position,
      );
    }
    const block: ArrowBlock = { start: position, metadataLength: stored, bodyLength: message.bodyLength };
    if (message.type === 'schema') {
      if (schema !== undefined) throw formatInvalid('a second schema follows', position);
      schema = message.schema;
    } else if (schema === undefined) {
      throw formatInvalid(`it begins with a ${message.type}, expected a schema`, position);
    } else blocks[message.type === 'dictionary' ? 'dictionaries' : 'recordBatches'].push(block);
    position += stored + message.bodyLength;
  }
  if (schema === undefined) throw formatInvalid('it has no schema', 0);
  return { schema, blocks, complete };
}
