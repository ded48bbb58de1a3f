/** The file of a demonstration, as a stream: NDJSON and JSON by way of stream-json, everything else straight. */
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { type Duplex, type Readable, Transform } from 'node:stream';
import { createGunzip } from 'node:zlib';
import jsonlParser from 'stream-json/jsonl/parser.js';
import streamArray from 'stream-json/streamers/stream-array.js';
import { SealpipeError } from '../../index.ts';

/** How a file is read. */
export interface DemoSource {
  readonly path: string;
  /** Key of the object. */
  readonly key: string;
  readonly packedSize: number;
  readonly packed: boolean;
  /** `ndjson`: a JSON value a line; `json`: an array of values; `bytes`: anything else. */
  readonly content: 'ndjson' | 'json' | 'bytes';
}

/**
 * Looks at a file.
 * @throws SealpipeError SOURCE_FAILED when it is not there, is no file, or is larger than what the demonstration copies in one PUT
 */
export async function demoSource(path: string): Promise<DemoSource> {
  const found = await stat(path).catch((cause: unknown) => {
    throw new SealpipeError('SOURCE_FAILED', `${path} cannot be read: ${(cause as Error).message}`, { cause });
  });
  if (!found.isFile()) throw new SealpipeError('SOURCE_FAILED', `${path} is no file: give the demonstration one`);
  if (found.size > maxSize)
    throw new SealpipeError(
      'SOURCE_FAILED',
      `${path} has ${found.size} bytes, the demonstration takes up to 4 GiB: use put`,
    );
  const name = basename(path);
  const json = /\.(ndjson|jsonl|json)(\.gz)?$/i.exec(name);
  const packed = json?.[2] !== undefined;
  const source = { path, packed, packedSize: found.size };
  if (json === null) return { ...source, key: name, content: 'bytes' };
  const key = name.replace(/\.gz$/i, '').replace(/\.json$/i, '.ndjson');
  if (json[1]?.toLowerCase() !== 'json') return { ...source, key, content: 'ndjson' };
  return (await firstCharacter(source)) === '['
    ? { ...source, key, content: 'json' }
    : { ...source, packed: false, key: name, content: 'bytes' };
}

const maxSize = 4 * 2 ** 30;

async function firstCharacter(source: { path: string; packed: boolean }): Promise<string | undefined> {
  const [file, ...rest] = fileStreams(source);
  const last = rest.reduce<Readable>((from, to) => from.pipe(to), file);
  try {
    for await (const chunk of last as AsyncIterable<Buffer>) {
      const [character] = chunk
        .toString('utf8')
        .replace(/^\uFEFF/, '')
        .trimStart();
      if (character !== undefined) return character;
    }
    return undefined;
  } finally {
    file.destroy();
  }
}

function fileStreams({ path, packed }: { path: string; packed: boolean }): [Readable, ...Duplex[]] {
  return [createReadStream(path), ...(packed ? [createGunzip()] : [])];
}

/** A row as stream-json hands it over. Wrapped, as a stream cannot carry the JSON value `null` by itself. */
interface Row {
  readonly value: unknown;
}

/** Counts rows, and with `write` turns each into a line of JSON. */
export class RowCounter extends Transform {
  rows = 0;
  readonly #write: boolean;

  constructor({ write }: { write: boolean }) {
    super({ writableObjectMode: true, readableObjectMode: !write });
    this.#write = write;
  }

  override _transform(
    row: Row,
    _encoding: BufferEncoding,
    callback: (error: null, output: Row | string) => void,
  ): void {
    this.rows += 1;
    callback(null, this.#write ? `${JSON.stringify(row.value)}\n` : row);
  }
}

/** The streams from a file to the bytes of the object, in order; JSON rows pass `counter`, which writes one a line. */
export function demoStreams(source: DemoSource, counter: RowCounter): [Readable, ...Duplex[]] {
  const streams = fileStreams(source);
  switch (source.content) {
    case 'bytes':
      return streams;
    case 'ndjson':
      return [...streams, jsonlParser.asStream(), counter];
    case 'json':
      return [...streams, streamArray.withParserAsStream(), counter];
  }
}

/** The streams that read the object's bytes as rows again; none for bytes. */
export function rowStreams({ content }: DemoSource, counter: RowCounter): Duplex[] {
  return content === 'bytes' ? [] : [jsonlParser.asStream(), counter];
}
