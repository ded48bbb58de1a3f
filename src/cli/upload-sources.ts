/** From the operands of `put` to what goes where. */
import type { Dirent } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { type PlainBody, SealpipeError } from '../index.ts';
import { formatS3Url, type S3Url } from './s3-url.ts';
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
  /** Told of what lies in a folder and cannot be read: the others go up. */
  readonly failed: (path: string, error: SealpipeError) => void;
}

/**
 * Checks operands against each other, then yields one source after the other, the files of folders in the order of their names.
 *
 * A single file goes to the key given, or under it where it ends in `/` or is empty; several files and the content of folders
 * always go under it.
 * @throws UsageError for a folder without --recursive, for stdin without a name, and for two files that would go to one key
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
  const prefix = destination.key === '' || isPrefix ? destination.key : `${destination.key}/`;
  if (kinds.length > 1) await assertKeysDiffer(kinds, { ...destination, key: prefix });
  for (const { path, folder: isDirectory } of kinds) {
    if (path === '-') yield { name: 'stdin', body: stdinChunks(), target: destination };
    else if (isDirectory) yield* folderSources(path, { ...destination, key: prefix }, request);
    else yield fileSource(path, isPrefix ? { ...destination, key: `${prefix}${basename(path)}` } : destination);
  }
}

function fileSource(path: string, target: S3Url): UploadSource {
  return { name: path, body: { path }, target };
}

/** A file or folder that has a place under the destination, with others of its name. */
interface NamedPath {
  readonly path: string;
  readonly folder: boolean;
}

/**
 * Walks through all operands at once, but only where several of them have a folder of the same name: nothing else can meet, and a list of
 * all keys would have to be kept.
 * @throws UsageError for two files that would go to one key
 */
async function assertKeysDiffer(operands: readonly NamedPath[], target: S3Url): Promise<void> {
  const places = new Map<string, NamedPath[]>();
  const add = (name: string, found: NamedPath): void => {
    places.set(name, [...(places.get(name) ?? []), found]);
  };
  for (const { path, folder } of operands) {
    if (!folder) add(basename(path), { path, folder });
    // What cannot be read is told when its turn comes.
    else
      for (const entry of await entriesOf(path).catch(() => []))
        add(entry.name, { path: join(path, entry.name), folder: entry.isDirectory() });
  }
  for (const [name, found] of places) {
    if (found.length < 2) continue;
    const key = `${target.key}${name}`;
    const files: string[] = [];
    for (const each of found) if (!each.folder && (await isUploaded(each.path, operands))) files.push(each.path);
    const [first, second] = files;
    if (second !== undefined)
      throw new UsageError(
        `${first} and ${second} would both go to ${formatS3Url({ ...target, key })}: upload the two to different places`,
      );
    const folders = found.filter(({ folder }) => folder);
    if (folders.length > 1) await assertKeysDiffer(folders, { ...target, key: `${key}/` });
  }
}

/** Whether a name leads to what is uploaded: an operand may be a pipe or a device, what lies in a folder is a file or a link to one. */
async function isUploaded(path: string, operands: readonly NamedPath[]): Promise<boolean> {
  if (operands.some((operand) => operand.path === path)) return true;
  return (await stat(path).catch(() => undefined))?.isFile() ?? false;
}

async function* folderSources(folder: string, target: S3Url, request: SourcesRequest): AsyncGenerator<UploadSource> {
  const failed = (path: string) => (error: SealpipeError) => {
    request.failed(path, error);
    return undefined;
  };
  const entries = (await entriesOf(folder).catch(failed(folder))) ?? [];
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const path = join(folder, entry.name);
    const key = `${target.key}${entry.name}`;
    const link = entry.isSymbolicLink() ? await isFolder(path).catch(failed(path)) : undefined;
    if (entry.isDirectory()) yield* folderSources(path, { ...target, key: `${key}/` }, request);
    else if (entry.isFile() || link === false) yield fileSource(path, { ...target, key });
    // Followed, a link to a folder could lead in a circle.
    else if (link === true) request.note(`${path} was left out: it is a link to a folder`);
    else if (!entry.isSymbolicLink()) request.note(`${path} was left out: it is no file`);
  }
}

/** @throws SealpipeError SOURCE_FAILED */
async function entriesOf(folder: string): Promise<Dirent[]> {
  return readdir(folder, { withFileTypes: true }).catch((cause: unknown) => {
    throw sourceFailed(folder, cause);
  });
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
