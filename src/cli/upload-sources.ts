/** From the operands of `put` to what goes where. */
import { readdir, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { type PlainBody, SealpipeError } from '../index.ts';
import type { S3Url } from './s3-url.ts';
import { UsageError } from './usage-error.ts';

export interface UploadSource {
  /** For people: the path, or `stdin`. */
  readonly name: string;
  readonly body: PlainBody;
  readonly target: S3Url;
}

export interface SourcesRequest {
  readonly operands: readonly string[];
  readonly destination: S3Url;
  readonly recursive: boolean;
  readonly note: (message: string) => void;
}

/**
 * Checks operands against each other, then yields one source after the other, the files of folders in the order of their names.
 *
 * A single file goes to the key given, or under it where it ends in `/` or is empty; several files and the content of folders
 * always go under it.
 * @throws UsageError for a folder without --recursive, and for stdin without a name
 * @throws SealpipeError SOURCE_FAILED for a file that is not there
 */
export async function* uploadSources(request: SourcesRequest): AsyncGenerator<UploadSource> {
  const { operands, destination, recursive } = request;
  const kinds = await Promise.all(
    operands.map(async (path) => ({ path, folder: path !== '-' && (await isFolder(path)) })),
  );
  const folder = kinds.find((kind) => kind.folder);
  if (folder !== undefined && !recursive)
    throw new UsageError(`${folder.path} is a folder: add --recursive to upload what is in it`);
  if (operands.filter((path) => path === '-').length > 1)
    throw new UsageError('- (stdin) is given twice: it can be read once');
  const isPrefix = destination.key === '' || destination.key.endsWith('/');
  const several = operands.length > 1 || folder !== undefined;
  if (several && !isPrefix && operands.length > 1)
    throw new UsageError(
      `several files need a place for all of them: end the destination in a slash, s3://${destination.bucket}/${destination.key}/`,
    );
  if (operands.includes('-') && (several || isPrefix))
    throw new UsageError('- (stdin) has no name: give the whole key, s3://bucket/key');
  const plain = kinds.filter(({ path, folder: isDirectory }) => path !== '-' && !isDirectory);
  const names = plain.map(({ path }) => basename(path));
  const same = plain.find((_, at) => names.indexOf(names[at] ?? '') < at);
  if (same !== undefined)
    throw new UsageError(
      `${same.path} would overwrite another of the files under the same key: upload the two to different places`,
    );
  const prefix = destination.key === '' || isPrefix ? destination.key : `${destination.key}/`;
  for (const { path, folder: isDirectory } of kinds) {
    if (path === '-') yield { name: 'stdin', body: stdinChunks(), target: destination };
    else if (isDirectory) yield* folderSources(path, { ...destination, key: prefix }, request);
    else yield fileSource(path, isPrefix ? { ...destination, key: `${prefix}${basename(path)}` } : destination);
  }
}

function fileSource(path: string, target: S3Url): UploadSource {
  return { name: path, body: { path }, target };
}

async function* folderSources(folder: string, target: S3Url, request: SourcesRequest): AsyncGenerator<UploadSource> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((cause: unknown) => {
    throw sourceFailed(folder, cause);
  });
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const path = join(folder, entry.name);
    const key = `${target.key}${entry.name}`;
    if (entry.isDirectory()) yield* folderSources(path, { ...target, key: `${key}/` }, request);
    else if (entry.isFile() || (entry.isSymbolicLink() && !(await isFolder(path))))
      yield fileSource(path, { ...target, key });
    // Followed, a link to a folder could lead in a circle.
    else request.note(`${path} was left out: it is ${entry.isSymbolicLink() ? 'a link to a folder' : 'no file'}`);
  }
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (cause) {
    throw sourceFailed(path, cause);
  }
}

function sourceFailed(path: string, cause: unknown): SealpipeError {
  const { code, message } = cause as NodeJS.ErrnoException;
  const why = code === 'ENOENT' ? 'it does not exist' : code === 'EACCES' ? 'permission denied' : message;
  return new SealpipeError('SOURCE_FAILED', `${path} cannot be read: ${why}`, { cause });
}

/**
 * What comes from stdin, the memory of each chunk given back as soon as the next one is asked for, which is how an upload reads
 * a body. Left to the garbage collector, tens of megabytes wait for it at any time: measured on Node 24, 279 MiB at the peak
 * in the place of 224. Node 20 cannot, and needs it less.
 */
async function* stdinChunks(): AsyncGenerator<Uint8Array> {
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
    const memory = chunk.buffer as ArrayBuffer & { transfer?: (length: number) => ArrayBuffer };
    const isAlone = chunk.byteLength > 0 && chunk.byteLength === memory.byteLength;
    yield chunk;
    if (isAlone) memory.transfer?.(0);
  }
}
