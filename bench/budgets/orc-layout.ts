/**
 * ORC files of a stated layout: so many stripes and columns, streams of so many bytes, a tail of so many. All values are 0.
 * Uncompressed, doubles. Only the layout matters to the requests of a reader.
 */
import { type FileParts, lengthOf, zeroParts } from './file-parts.ts';
import { varint } from './parquet-layout.ts';

export interface OrcLayout {
  readonly stripes: number;
  readonly columns: number;
  /** Bytes of each column's stream in every stripe. */
  readonly streamBytes: number;
  /** Bytes of each section, at least what the layout needs: what is missing is filled by a field that no reader knows. */
  readonly stripeFooterBytes: number;
  readonly statisticsBytes: number;
  readonly footerBytes: number;
}

/** Kinds of the format's lists. */
const doubleKind = 6;
const structKind = 12;
const dataStream = 1;

/** A field that readers have to skip. */
const paddingField = 100;

export function orcLayout(layout: OrcLayout): { parts: FileParts; rows: number } {
  const { stripes, columns, streamBytes, stripeFooterBytes, statisticsBytes, footerBytes } = layout;
  const rows = Math.floor(streamBytes / 8);
  const stripeFooter = padded(stripeFooterBytes, stripeFooterOf(columns, streamBytes));
  const parts: Buffer[] = [Buffer.from('ORC')];
  const dataLength = columns * streamBytes;
  const information: Buffer[] = [];
  for (let stripe = 0, position = 3; stripe < stripes; stripe++) {
    parts.push(...zeroParts(dataLength), stripeFooter);
    information.push(
      message([
        [1, position],
        [2, 0],
        [3, dataLength],
        [4, stripeFooterBytes],
        [5, rows],
      ]),
    );
    position += dataLength + stripeFooterBytes;
  }
  const contentLength = lengthOf(parts);
  parts.push(padded(statisticsBytes, Buffer.alloc(0)));
  parts.push(padded(footerBytes, footerOf({ information, columns, rows: rows * stripes, contentLength })));
  const postscript = message([
    [1, footerBytes],
    [2, 0],
    [3, 262_144],
    [4, Buffer.from([0, 12])],
    [5, statisticsBytes],
    [6, 9],
    [8000, Buffer.from('ORC')],
  ]);
  parts.push(postscript, Buffer.from([postscript.length]));
  return { parts, rows: rows * stripes };
}

function stripeFooterOf(columns: number, streamBytes: number): Buffer {
  return message([
    ...Array.from({ length: columns }, (_, index): Field => {
      const stream: Field[] = [
        [1, dataStream],
        [2, index + 1],
        [3, streamBytes],
      ];
      return [1, message(stream)];
    }),
    ...Array.from({ length: columns + 1 }, (): Field => [2, message([[1, 0]])]),
    [3, Buffer.from('UTC')],
  ]);
}

function footerOf(file: {
  information: readonly Buffer[];
  columns: number;
  rows: number;
  contentLength: number;
}): Buffer {
  const { information, columns, rows, contentLength } = file;
  const ids = Array.from({ length: columns }, (_, index) => index + 1);
  const root: Field[] = [
    [1, structKind],
    [2, Buffer.from(ids.flatMap(varint))],
  ];
  for (const id of ids) root.push([3, Buffer.from(`f${id}`)]);
  return message([
    [1, 3],
    [2, contentLength],
    ...information.map((stripe): Field => [3, stripe]),
    [4, message(root)],
    ...ids.map((): Field => [4, message([[1, doubleKind]])]),
    [6, rows],
    [8, 0],
  ]);
}

/** A field of a protobuf message: a number is a varint, bytes have their length before them. */
type Field = readonly [number: number, value: number | Buffer];

function message(fields: readonly Field[]): Buffer {
  return Buffer.concat(
    fields.flatMap(([number, value]) =>
      typeof value === 'number'
        ? [Buffer.from([...varint(number * 8), ...varint(value)])]
        : [Buffer.from([...varint(number * 8 + 2), ...varint(value.length)]), value],
    ),
  );
}

function padded(length: number, bytes: Buffer): Buffer {
  if (bytes.length === length) return bytes;
  for (let padding = Math.max(0, length - bytes.length - 3); padding >= 0; ) {
    const made = Buffer.concat([bytes, message([[paddingField, Buffer.alloc(padding)]])]);
    if (made.length === length) return made;
    if (made.length < length) break;
    padding -= made.length - length;
  }
  throw new Error(`a section of ${bytes.length} bytes cannot be filled up to ${length}`);
}
