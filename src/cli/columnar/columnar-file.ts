import { SealpipeError } from '../../index.ts';
import { type ArrowFile, openArrow } from '../../readers/arrow/index.ts';
import { type OrcFile, openOrc } from '../../readers/orc/index.ts';
import { openParquet, type ParquetFile } from '../../readers/parquet/index.ts';
import type { RangeSource } from '../../readers/range-source.ts';

/** A columnar file of one of the formats that are known. */
export type ColumnarFile =
  | { readonly format: 'parquet'; readonly file: ParquetFile }
  | { readonly format: 'orc'; readonly file: OrcFile }
  | { readonly format: 'arrow'; readonly file: ArrowFile };

const formats = { parquet: openParquet, orc: openOrc, arrow: openArrow } as const;

/** What is asked for first: the tail that an opened object has at hand. */
const tailBytes = 64 * 1024;

/**
 * Opens whatever lies in `source`, told by its content and not by its name. The tail tells; the head is looked at only
 * where it does not.
 *
 * @throws SealpipeError FORMAT_INVALID for what is none of them
 */
export async function openColumnar(
  source: RangeSource,
  { signal }: { signal?: AbortSignal } = {},
): Promise<ColumnarFile> {
  const options = signal === undefined ? {} : { signal };
  const length = Math.min(source.size, tailBytes);
  const tail =
    length === 0
      ? new Uint8Array()
      : await (source.tail?.(length, options) ?? source.read(source.size - length, source.size, options));
  const format = formatOfTail(tail) ?? formatOfHead(await headOf(source, tail, options));
  if (format === undefined) {
    throw new SealpipeError('FORMAT_INVALID', `its ${source.size} bytes are neither Parquet nor ORC nor Arrow`);
  }
  const file = await formats[format](source, { ...options, ...(tail.length === 0 ? {} : { tail }) });
  return { format, file } as ColumnarFile;
}

function formatOfTail(tail: Uint8Array): ColumnarFile['format'] | undefined {
  const end = Buffer.from(tail.subarray(-6)).toString('latin1');
  if (end.endsWith('PAR1') || end.endsWith('PARE')) return 'parquet';
  if (end === 'ARROW1' || end.endsWith('FEA1')) return 'arrow';
  // Before an ORC file's last byte, the length of its postscript.
  return end.slice(0, -1).endsWith('ORC') ? 'orc' : undefined;
}

async function headOf(source: RangeSource, tail: Uint8Array, options: { signal?: AbortSignal }): Promise<Uint8Array> {
  if (tail.length === source.size) return tail;
  return source.read(0, Math.min(source.size, 8), options);
}

/** Files that are damaged at their end, ORC files of Hive 0.11, and Arrow streams, which have no end of their own. */
function formatOfHead(head: Uint8Array): ColumnarFile['format'] | undefined {
  const start = Buffer.from(head.subarray(0, 6)).toString('latin1');
  if (start.startsWith('PAR1') || start.startsWith('PARE')) return 'parquet';
  if (start.startsWith('ORC')) return 'orc';
  const stream = start.startsWith('\xff\xff\xff\xff') && head.length >= 8;
  return start === 'ARROW1' || start.startsWith('FEA1') || stream ? 'arrow' : undefined;
}
