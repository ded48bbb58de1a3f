import { distinctNames } from '../field-names.ts';
import { FetchedRanges, mergeRanges, type RequestLimits } from '../orc/byte-ranges.ts';
import { RowAllowance } from './allowance.ts';
import { type ArrowBlock, type ArrowFile, messageOf } from './arrow-file.ts';
import { type ArrowColumn, BatchLoader } from './columns.ts';
import { formatInvalid, formatUnsupported } from './format-error.ts';
import type { BatchHeader } from './message.ts';
import type { ArrowField } from './schema.ts';
import type { ArrowValue } from './value-reader.ts';

/** A row: values by column name. */
export type ArrowRow = Record<string, ArrowValue>;

export interface ReadArrowOptions extends RequestLimits {
  /**
   * Names of the columns wanted. Default all. Rows have them in the file's order. Where several have the same name, the
   * second is `name_1`, here and in rows.
   */
  columns?: readonly string[];
  /** Indices of the record batches wanted. Default all. */
  batches?: readonly number[];
  /** Rows at most. Default all. */
  limit?: number;
  /** Rows an array at most. Default 4096. */
  batchSize?: number;
  signal?: AbortSignal;
}

/**
 * The rows of Arrow data, in arrays. Each record batch is one range, read whole; what is not wanted of it is not
 * expanded. While one is decoded the next one is fetched.
 *
 * @throws SealpipeError FORMAT_INVALID, FORMAT_UNSUPPORTED
 * @throws RangeError for columns and record batches that are not there
 */
export async function* readArrowRows(
  file: ArrowFile,
  options: ReadArrowOptions = {},
): AsyncGenerator<ArrowRow[], void, undefined> {
  const { columns, batchSize = 4096, limit = Number.POSITIVE_INFINITY } = options;
  if (!Number.isSafeInteger(batchSize) || batchSize < 1) throw new RangeError(`batchSize is ${batchSize}`);
  const { fields } = file.schema;
  const names = distinctNames(fields.map(({ name }) => name));
  const unknown = columns?.find((name) => !names.includes(name));
  if (unknown !== undefined) {
    throw new RangeError(`there is no column ${JSON.stringify(unknown)}; the file has ${names.join(', ')}`);
  }
  const indices = options.batches ?? file.recordBatches.map((_, index) => index);
  const blocks = indices.map((index) => {
    const block = file.recordBatches[index];
    if (block === undefined)
      throw new RangeError(`record batch ${index} was asked for, there are ${file.recordBatches.length}`);
    return block;
  });
  const wanted = new Set(columns ?? names);
  const canceller = new AbortController();
  const signal = options.signal === undefined ? canceller.signal : AbortSignal.any([options.signal, canceller.signal]);
  const limits = { ...options, signal };
  const allowance = new RowAllowance();
  const dictionaries = new DictionaryStore(file, allowance);
  let left = limit;
  let ahead: Promise<FetchedRanges> | undefined;
  try {
    for (const [index, block] of blocks.entries()) {
      if (left <= 0) return;
      const fetched = await (ahead ?? fetchBlocks(file, [block], limits));
      const following = blocks[index + 1];
      ahead = following === undefined ? undefined : fetchBlocks(file, [following], limits);
      ahead?.catch(() => undefined); // looked at when its turn comes
      await dictionaries.advance(block, limits);
      const message = messageOf(fetched, block);
      if (message.type !== 'record batch')
        throw formatInvalid(`a ${message.type} stands for a record batch`, block.start);
      const { batch } = message;
      allowance.startBatch();
      const loader = loaderOf(file, { fetched, block, header: batch, dictionaries: dictionaries.values, allowance });
      const selected: [string, ArrowColumn][] = [];
      for (const [position, field] of fields.entries()) {
        const name = names[position]!;
        if (wanted.has(name)) selected.push([name, loader.column(field, batch.rowCount)]);
        else loader.skip(field);
      }
      for (let start = 0; start < batch.rowCount && left > 0; start += batchSize) {
        const count = Math.min(batchSize, batch.rowCount - start, left);
        left -= count;
        allowance.startRows();
        yield Array.from({ length: count }, (_, row) =>
          Object.fromEntries(selected.map(([name, column]) => [name, column.get(start + row)])),
        );
      }
    }
  } finally {
    canceller.abort();
    await ahead?.catch(() => undefined);
  }
}

type Limits = RequestLimits & { signal: AbortSignal };

async function fetchBlocks(file: ArrowFile, blocks: readonly ArrowBlock[], limits: Limits): Promise<FetchedRanges> {
  const fetched = new FetchedRanges(file.fetched);
  const ranges = blocks.map(({ start, metadataLength, bodyLength }) => ({
    start,
    end: start + metadataLength + bodyLength,
  }));
  await fetched.fetch(file.source, mergeRanges(ranges, limits), limits);
  return fetched;
}

function loaderOf(
  { schema }: ArrowFile,
  parts: {
    fetched: FetchedRanges;
    block: ArrowBlock;
    header: BatchHeader;
    dictionaries: ReadonlyMap<number, ArrowColumn>;
    allowance: RowAllowance;
  },
): BatchLoader {
  const { fetched, block, header, dictionaries, allowance } = parts;
  const offset = block.start + block.metadataLength;
  const body = fetched.get({ start: offset, end: offset + block.bodyLength });
  return new BatchLoader({ header, body, offset, dictionaries, little: schema.bigEndian !== true, allowance });
}

/** The dictionaries as they are at a place of the data: those of a stream change as it goes on. */
class DictionaryStore {
  readonly values = new Map<number, ArrowColumn>();
  readonly #file: ArrowFile;
  readonly #allowance: RowAllowance;
  readonly #fields: ReadonlyMap<number, ArrowField>;
  #next = 0;

  constructor(file: ArrowFile, allowance: RowAllowance) {
    this.#file = file;
    this.#allowance = allowance;
    const fields = new Map<number, ArrowField>();
    const collect = (field: ArrowField): void => {
      if (field.dictionary !== undefined) {
        const { dictionary, ...values } = field;
        fields.set(dictionary.id, values);
      }
      field.children.forEach(collect);
    };
    file.schema.fields.forEach(collect);
    this.#fields = fields;
  }

  /** Takes in what stands before a record batch; of a file, all there is. */
  async advance(batch: ArrowBlock, limits: Limits): Promise<void> {
    const { dictionaries, kind } = this.#file;
    const from = this.#next;
    while (this.#next < dictionaries.length && (kind === 'file' || dictionaries[this.#next]!.start < batch.start)) {
      this.#next++;
    }
    const blocks = dictionaries.slice(from, this.#next);
    if (blocks.length === 0) return;
    const fetched = await fetchBlocks(this.#file, blocks, limits);
    for (const block of blocks) {
      const message = messageOf(fetched, block);
      if (message.type !== 'dictionary') throw formatInvalid(`a ${message.type} stands for a dictionary`, block.start);
      const field = this.#fields.get(message.id);
      if (field === undefined) throw formatInvalid(`no field uses dictionary ${message.id}`, block.start);
      const loader = loaderOf(this.#file, {
        fetched,
        block,
        header: message.batch,
        dictionaries: this.values,
        allowance: this.#allowance,
      });

      const column = sharedValues(field, loader.column(field, message.batch.rowCount));
      const before = this.values.get(message.id);
      if (message.delta && before === undefined)
        throw formatInvalid('a dictionary is added to before it is there', block.start);
      if (!message.delta && before !== undefined && kind === 'file') {
        throw formatUnsupported(`dictionary ${message.id} is replaced within a file`, block.start);
      }
      this.values.set(message.id, message.delta && before !== undefined ? appended(before, column) : column);
    }
  }
}

/**
 * The strings and bytes of a dictionary, each made once however many rows have it. Lists are not: they would then share
 * what is in them, and what walks through them afterwards would meet it any number of times.
 */
function sharedValues({ type, dictionary }: ArrowField, column: ArrowColumn): ArrowColumn {
  if (dictionary !== undefined || !/utf8|binary/.test(type.kind)) return column;
  const made = new Map<number, ArrowValue>();
  return {
    length: column.length,
    get: (index) => {
      let value = made.get(index);
      if (value === undefined) {
        value = column.get(index);
        made.set(index, value);
      }
      return value;
    },
  };
}

function appended(first: ArrowColumn, second: ArrowColumn): ArrowColumn {
  return {
    length: first.length + second.length,
    get: (index) => (index < first.length ? first.get(index) : second.get(index - first.length)),
  };
}
