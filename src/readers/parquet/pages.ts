/**
 * Looks at the headers of the pages in what was fetched of a column chunk, before anything is decoded: hyparquet
 * allocates what they claim.
 */

import { type ExpandedPages, expandPage } from './codecs.ts';
import { deltaByteArrayBytes } from './delta.ts';
import { booleanField, countField, required, structField } from './fields.ts';
import type { ParquetColumnChunk } from './footer.ts';
import { formatInvalid, formatUnsupported } from './format-error.ts';
import type { GroupLimits } from './group-limits.ts';
import { checkLevels, checkRuns, checkValues, presentValues, type RunPlan } from './runs.ts';
import type { ParquetField } from './schema.ts';
import { readStruct, type ThriftStruct } from './thrift.ts';

/** Pages that claim to expand beyond this are refused; those of honest writers have 1 MiB, or a few. */
const largestPage = 256 * 1024 * 1024;

/** Values of one page beyond this are refused: a run length can claim billions of them in a few bytes. */
const mostValues = 2 ** 24;

/** Bits a value takes at least when it is stored as it is. */
const leastBits: Readonly<Record<string, number>> = {
  BOOLEAN: 1,
  INT32: 32,
  INT64: 64,
  INT96: 96,
  FLOAT: 32,
  DOUBLE: 64,
  BYTE_ARRAY: 32,
  FIXED_LEN_BYTE_ARRAY: 0,
};

export interface PageSpan {
  readonly chunk: ParquetColumnChunk;
  readonly field: ParquetField;
  /** Rows of the row group. */
  readonly rowCount: number;
  /** File offset of the first byte. */
  readonly offset: number;
  /** Whether the bytes are those of the whole chunk: then they have to hold all its values. */
  readonly whole: boolean;
  /** Whether the column is a value of the row itself: then it has one for each row. */
  readonly flat: boolean;
  /** The most that levels of the column can be. */
  readonly maxRepetition: number;
  readonly maxDefinition: number;
  /** Takes what had to be expanded. */
  readonly pages: ExpandedPages;
  /** What the row group may become as a whole. */
  readonly limits: GroupLimits;
}

/** @throws SealpipeError FORMAT_INVALID, FORMAT_UNSUPPORTED */
export function checkPages(bytes: Uint8Array, span: PageSpan): void {
  const { chunk, offset, whole, flat, rowCount } = span;
  let values = 0;
  let position = 0;
  while (position < bytes.length && values < chunk.valueCount) {
    const { struct, end } = readStruct(bytes, { start: position, offset });
    const at = offset + position;
    const stored = required(countField(struct, 3, 'the size of a page'), 'size in a page header');
    const expanded = required(countField(struct, 2, 'the expanded size of a page'), 'expanded size in a page header');
    if (stored > bytes.length - end) {
      throw formatInvalid(`a page of ${chunk.path} claims ${stored} bytes where ${bytes.length - end} are left`, at);
    }
    if (expanded > largestPage) {
      throw formatUnsupported(
        `a page of ${chunk.path} claims to expand to ${expanded} bytes, above ${largestPage}`,
        at,
      );
    }
    if (chunk.codec === 'UNCOMPRESSED' && expanded > stored) {
      throw formatInvalid(`a page of ${chunk.path} has ${stored} bytes and claims ${expanded}`, at);
    }
    span.limits.add(at, expanded);
    const page = { span, at, stored, expanded };
    values += valuesOfPage(struct, page);
    checkPageRuns(bytes.subarray(end, end + stored), { ...page, struct });
    position = end + stored;
  }
  if (!whole) return;
  if (values !== chunk.valueCount || (flat && values !== rowCount)) {
    throw formatInvalid(
      `${chunk.path} has ${values} values in its pages, ${flat ? rowCount : chunk.valueCount} were expected`,
      offset,
    );
  }
}

function valuesOfPage(
  struct: ThriftStruct,
  page: { span: PageSpan; at: number; stored: number; expanded: number },
): number {
  const { span, at, stored, expanded } = page;
  const { path } = span.chunk;
  const first = structField(struct, 5, 'a data page header');
  const second = structField(struct, 8, 'a data page header');
  const dictionary = structField(struct, 7, 'a dictionary page header');
  const type = required(countField(struct, 1, 'the type of a page'), 'type in a page header');
  const header = type === 0 ? first : type === 3 ? second : type === 2 ? dictionary : undefined;
  if (header === undefined) throw formatInvalid(`a page of ${path} of type ${type} has no header of that type`, at);
  const count = required(countField(header, 1, 'the values of a page'), 'number of values in a page header');
  if (count > mostValues) throw formatUnsupported(`a page of ${path} claims ${count} values, above ${mostValues}`, at);
  const bits =
    span.field.type === 'FIXED_LEN_BYTE_ARRAY' ? (span.field.typeLength ?? 0) * 8 : leastBits[span.field.type!]!;
  const fitting = (values: number, room: number): void => {
    if (values * bits > room * 8) throw formatInvalid(`a page of ${path} claims ${values} values in ${room} bytes`, at);
  };
  if (type === 2) {
    // Dictionaries are stored plain.
    fitting(count, expanded);
    return 0;
  }
  if (type === 3) {
    // Absent, each of these would be taken as it comes.
    const own = (number: number, what: string): number =>
      required(countField(header, number, `the ${what} of a page`), `${what} in a page header`);
    const nulls = own(2, 'number of nulls');
    const definition = own(5, 'definition levels');
    const levels = definition + own(6, 'repetition levels');
    const compressed = booleanField(header, 7, 'is_compressed') ?? true;
    if (!compressed && stored !== expanded) {
      // So did Arrow's writers before 3.0 (ARROW-10353), and compressed it all the same.
      throw formatUnsupported(
        `a page of ${path} is said to be not compressed, and has ${stored} bytes of ${expanded}: write it anew with a later version`,
        at,
      );
    }
    if (span.maxDefinition === 0 && definition > 0) {
      // hyparquet would take them for values; it does pass over repetition levels that no column needs.
      throw formatUnsupported(`a page of ${path} has ${definition} bytes of levels that its column does not have`, at);
    }
    const rows = required(countField(header, 3, 'the rows of a page'), 'number of rows in a page header');
    if (nulls > count || rows > count || levels > stored || levels > expanded) {
      throw formatInvalid(
        `a page of ${path} claims ${count} values with ${nulls} nulls in ${rows} rows, and ${levels} bytes of levels of ${stored}`,
        at,
      );
    }
    if (countField(header, 4, 'the encoding of a page') === 0) fitting(count - nulls, expanded - levels);
  } else if (
    span.flat &&
    span.field.repetition === 'REQUIRED' &&
    countField(header, 2, 'the encoding of a page') === 0
  ) {
    fitting(count, expanded);
  }
  return count;
}

/** Looks at the runs of a data page, which is expanded for it where it is compressed. */
function checkPageRuns(
  content: Uint8Array,
  page: { struct: ThriftStruct; span: PageSpan; at: number; stored: number; expanded: number },
): void {
  const { struct, span, at, stored, expanded } = page;
  const { chunk, maxRepetition, maxDefinition, pages } = span;
  const type = countField(struct, 1, 'the type of a page');
  const second = type === 3;
  const header = structField(struct, second ? 8 : 5, 'a data page header');
  if (type === 2 || header === undefined) return;
  const encoding = countField(header, second ? 4 : 2, 'the encoding of a page');
  const indices = encoding === 2 || encoding === 8 || (encoding === 3 && chunk.type !== 'BOOLEAN');
  const values = encoding === 3 && chunk.type === 'BOOLEAN' ? 'booleans' : indices ? 'indices' : 'other';
  const valueCount = countField(header, 1, 'the values of a page') ?? 0;
  const plan: RunPlan = { path: chunk.path, at, valueCount, maxRepetition, maxDefinition, values };
  const expand = (input: Uint8Array, length: number): Uint8Array => {
    if (chunk.codec === 'UNCOMPRESSED') return input;
    const output = expandPage(chunk.codec, input, length);
    pages.add(input, output);
    return output;
  };
  if (!second) {
    if (maxRepetition > 0 || maxDefinition > 0 || values !== 'other' || encoding === deltaByteArray) {
      const whole = expand(content, expanded);
      const { position, definition } = checkRuns(whole, plan);
      if (encoding === deltaByteArray) {
        const count = definition === undefined ? valueCount : presentValues(whole, { position: definition, plan });
        checkDelta(whole, { position, count, plan, span });
      }
    }
    return;
  }
  const repetitionBytes = countField(header, 6, 'the repetition levels of a page') ?? 0;
  const levels = repetitionBytes + (countField(header, 5, 'the definition levels of a page') ?? 0);
  checkLevels(content, { most: maxRepetition, plan });
  checkLevels(content.subarray(repetitionBytes), { most: maxDefinition, plan });
  if ((values === 'other' && encoding !== deltaByteArray) || stored === levels) return;
  const compressed = booleanField(header, 7, 'is_compressed') ?? true;
  const rest = content.subarray(levels);
  const whole = compressed ? expand(rest, expanded - levels) : rest;
  const nulls = countField(header, 2, 'the nulls of a page') ?? 0;
  if (encoding === deltaByteArray) checkDelta(whole, { position: 0, count: valueCount - nulls, plan, span });
  else checkValues(whole, { position: 0, plan });
}

/** Number of the encoding whose values repeat the beginning of those before. */
const deltaByteArray = 7;

function checkDelta(
  page: Uint8Array,
  { position, count, plan, span }: { position: number; count: number; plan: RunPlan; span: PageSpan },
): void {
  const { path, at } = plan;
  const bytes = deltaByteArrayBytes(page, { path, at, position, count });
  if (bytes > largestPage) {
    throw formatUnsupported(`the values of a page of ${path} take ${bytes} bytes, above ${largestPage}`, at);
  }
  // Besides the page itself: the place is any other.
  span.limits.add(-1 - at, bytes);
}
