/**
 * Parquet files of a stated layout: so many row groups and columns, chunks of so many bytes, a footer of so many. All values are 0.
 * Uncompressed, one page a chunk. Only the layout matters to the requests of a reader.
 */
import { type FileParts, lengthOf, zeroParts } from './file-parts.ts';

export interface ParquetLayout {
  readonly rowGroups: number;
  /** Bytes of each column's chunk in every row group. A multiple of 8 above 64. */
  readonly chunkBytes: readonly number[];
  /** Bytes of FileMetaData, as the file's length word has it: at least what the layout needs. */
  readonly footerBytes: number;
}

const doubleType = 5;
const int32Type = 1;

/** Rows that fit into the smallest chunk: 8 bytes a value, or 4 where the chunk is half as large or less. */
interface Column {
  readonly name: string;
  readonly type: typeof doubleType | typeof int32Type;
  readonly bytes: number;
  readonly header: Buffer;
  readonly valueBytes: number;
}

export function parquetLayout({ rowGroups, chunkBytes, footerBytes }: ParquetLayout): {
  parts: FileParts;
  rows: number;
} {
  const rows = Math.floor((Math.max(...chunkBytes) - 64) / 8);
  const columns = chunkBytes.map((bytes, index): Column => {
    const type = bytes >= rows * 8 ? doubleType : int32Type;
    const valueBytes = rows * (type === doubleType ? 8 : 4);
    return { name: `f${index}`, type, bytes, valueBytes, header: pageHeader({ rows, valueBytes, chunkBytes: bytes }) };
  });
  const parts: Buffer[] = [Buffer.from('PAR1')];
  let position = 4;
  const starts: number[][] = [];
  for (let group = 0; group < rowGroups; group++) {
    starts.push([]);
    for (const { bytes, header, valueBytes } of columns) {
      starts[group]?.push(position);
      parts.push(header, ...zeroParts(valueBytes));
      position += bytes;
    }
  }
  const footer = footerOf({ rows, columns, starts, footerBytes });
  const length = Buffer.alloc(4);
  length.writeUInt32LE(footer.length);
  parts.push(footer, length, Buffer.from('PAR1'));
  if (lengthOf(parts) !== position + footerBytes + 8) throw new Error('the parts are not as long as the layout');
  return { parts, rows: rows * rowGroups };
}

/** Filled up by a statistic, so that header and values are as long as the chunk. */
function pageHeader({ rows, valueBytes, chunkBytes }: Record<'rows' | 'valueBytes' | 'chunkBytes', number>): Buffer {
  const make = (padding: number): Buffer =>
    struct([
      [1, i32(0)],
      [2, i32(valueBytes)],
      [3, i32(valueBytes)],
      [
        5,
        nested([
          [1, i32(rows)],
          [2, i32(0)],
          [3, i32(3)],
          [4, i32(3)],
          [5, nested([[1, binary(Buffer.alloc(padding))]])],
        ]),
      ],
    ]);
  return padded(make, chunkBytes - valueBytes);
}

function footerOf(file: {
  rows: number;
  columns: readonly Column[];
  starts: readonly (readonly number[])[];
  footerBytes: number;
}): Buffer {
  const { rows, columns, starts, footerBytes } = file;
  const groupBytes = columns.reduce((sum, { bytes }) => sum + bytes, 0);
  const schema = [
    struct([
      [4, binary('schema')],
      [5, i32(columns.length)],
    ]),
    ...columns.map(({ name, type }) =>
      struct([
        [1, i32(type)],
        [3, i32(0)],
        [4, binary(name)],
      ]),
    ),
  ];
  const groups = starts.map((group) =>
    struct([
      [
        1,
        list(
          12,
          columns.map((column, index) => chunk(column, { start: group[index] as number, rows })),
        ),
      ],
      [2, i64(groupBytes)],
      [3, i64(rows)],
    ]),
  );
  const make = (padding: number): Buffer =>
    struct([
      [1, i32(1)],
      [2, list(12, schema)],
      [3, i64(rows * starts.length)],
      [4, list(12, groups)],
      [
        5,
        list(12, [
          struct([
            [1, binary('padding')],
            [2, binary(Buffer.alloc(padding, '.'))],
          ]),
        ]),
      ],
      [6, binary('sealpipe bench')],
    ]);
  return padded(make, footerBytes);
}

function chunk({ name, type, bytes }: Column, { start, rows }: { start: number; rows: number }): Buffer {
  const metadata: Field[] = [
    [1, i32(type)],
    [2, list(5, [zigzag(0)])],
    [3, list(8, [lengthPrefixed(Buffer.from(name))])],
    [4, i32(0)],
    [5, i64(rows)],
    [6, i64(bytes)],
    [7, i64(bytes)],
    [9, i64(start)],
  ];
  return struct([
    [2, i64(start)],
    [3, nested(metadata)],
  ]);
}

/** What `make` gives for the padding that makes it exactly that long. */
function padded(make: (padding: number) => Buffer, length: number): Buffer {
  // The padding's own length takes more bytes the longer it is.
  for (let padding = Math.max(0, length - make(0).length), tries = 0; tries < 8; tries++) {
    const made = make(padding);
    if (made.length === length) return made;
    padding += length - made.length;
    if (padding < 0) break;
  }
  throw new Error(`${make(0).length} bytes are needed at least, ${length} were asked for`);
}

/** A field of thrift's compact protocol: its number, its type and the bytes of its value. */
type Field = readonly [number: number, value: { readonly type: number; readonly bytes: Buffer }];

const i32 = (value: number): Field[1] => ({ type: 5, bytes: zigzag(value) });
const i64 = (value: number): Field[1] => ({ type: 6, bytes: zigzag(value) });
const binary = (value: string | Buffer): Field[1] => ({ type: 8, bytes: lengthPrefixed(Buffer.from(value)) });
const nested = (fields: readonly Field[]): Field[1] => ({ type: 12, bytes: struct(fields) });

function list(type: number, elements: readonly Buffer[]): Field[1] {
  const short = elements.length < 15;
  const head = short ? [elements.length * 16 + type] : [0xf0 + type, ...varint(elements.length)];
  return { type: 9, bytes: Buffer.concat([Buffer.from(head), ...elements]) };
}

function struct(fields: readonly Field[]): Buffer {
  const parts: Buffer[] = [];
  let last = 0;
  for (const [number, { type, bytes }] of fields) {
    parts.push(Buffer.from([(number - last) * 16 + type]), bytes);
    last = number;
  }
  return Buffer.concat([...parts, Buffer.from([0])]);
}

/** Of what is not negative. */
const zigzag = (value: number): Buffer => Buffer.from(varint(value * 2));
const lengthPrefixed = (bytes: Buffer): Buffer => Buffer.concat([Buffer.from(varint(bytes.length)), bytes]);

/** Of numbers below 2^53; the form is protobuf's, too. */
export function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
  return [...bytes, rest];
}
