import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  appendFileSync,
  closeSync,
  constants,
  createReadStream,
  createWriteStream,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  rmSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { ReadableStream } from 'node:stream/web';
import { after, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { SealpipeError } from '../../src/errors.ts';
import { isRestartable, type OpenBody, openBody, type UploadBody } from '../../src/multipart/upload-body.ts';
import { failure } from '../support/failure.ts';
import { pieces, unaligned } from '../support/properties.ts';
import { settle, until } from '../support/stream-ends.ts';

const folder = mkdtempSync(join(tmpdir(), 'sealpipe-body-'));
after(() => rmSync(folder, { recursive: true }));

const content = randomBytes(100_000);
const MiB = 1024 * 1024;

let files = 0;
function file(bytes: Uint8Array = content): string {
  const path = join(folder, `file-${++files}`);
  writeFileSync(path, bytes);
  return path;
}

/** Copies of all chunks: a chunk is valid only until the next is asked for. */
async function readAll(body: OpenBody): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of body.chunks()) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}

async function contentOf(body: UploadBody): Promise<{ bytes: Buffer; length: number | undefined }> {
  const opened = await openBody(body);
  try {
    return { bytes: await readAll(opened), length: opened.length };
  } finally {
    await opened.close();
  }
}

/** Files that this process has open below the test's folder. */
const openFiles = (): number =>
  existsSync('/proc/self/fd')
    ? readdirSync('/proc/self/fd').filter((fd) => {
        try {
          return execFileSync('readlink', [`/proc/${process.pid}/fd/${fd}`])
            .toString()
            .startsWith(folder);
        } catch {
          return false;
        }
      }).length
    : 0;

describe('every kind of body is read to its end', () => {
  const webStream = (): ReadableStream<Uint8Array> =>
    new ReadableStream({
      start(controller) {
        for (const piece of pieces(content, 7000)) controller.enqueue(piece);
        controller.close();
      },
    });
  async function* generated(): AsyncGenerator<Uint8Array> {
    yield* pieces(content, 999);
  }
  const kinds: Record<string, { body: () => UploadBody; length: number | undefined; again: boolean }> = {
    'a Buffer': { body: () => content, length: 100_000, again: true },
    'a Uint8Array in a larger one': { body: () => unaligned(content), length: 100_000, again: true },
    'an ArrayBuffer': { body: () => Uint8Array.from(content).buffer, length: 100_000, again: true },
    'a Blob': { body: () => new Blob([content]), length: 100_000, again: true },
    'a Readable': { body: () => Readable.from(pieces(content, 5000)), length: undefined, again: false },
    'a file stream': { body: () => createReadStream(file()), length: undefined, again: false },
    'a web stream': { body: webStream, length: undefined, again: false },
    'an async iterable': { body: () => generated(), length: undefined, again: false },
    'an iterable of bytes': { body: () => pieces(content, 1000), length: undefined, again: false },
    'a file by its path': { body: () => ({ path: file() }), length: 100_000, again: true },
    'a function': { body: () => () => content, length: 100_000, again: true },
    'a function that answers later': {
      body: () => async () => Readable.from([content]),
      length: undefined,
      again: true,
    },
  };
  for (const [name, { body, length, again }] of Object.entries(kinds)) {
    test(`${name}${length === undefined ? '' : ', its length known before'}`, async () => {
      const given = body();
      assert.equal(await isRestartable(given), again);
      const read = await contentOf(given);
      assert.ok(read.bytes.equals(content));
      assert.equal(read.length, length);
    });
  }

  test('a string is content in UTF-8, never a path', async () => {
    const path = file();
    assert.deepEqual(await contentOf(path), { bytes: Buffer.from(path), length: Buffer.byteLength(path) });
    assert.deepEqual(await contentOf('é名😀'), { bytes: Buffer.from('é名😀'), length: 9 });
  });

  test('strings in a stream or iterable are UTF-8', async () => {
    async function* strings(): AsyncGenerator<string> {
      yield 'é';
      yield '名';
    }
    assert.equal((await contentOf(strings())).bytes.toString(), 'é名');
    const decoded = Readable.from([Buffer.from('é')], { objectMode: false }).setEncoding('utf8');
    assert.equal((await contentOf(decoded)).bytes.toString(), 'é');
  });

  test('nothing at all is content too', async () => {
    const empties: UploadBody[] = [
      '',
      Buffer.alloc(0),
      new Blob([]),
      Readable.from([]),
      [],
      { path: file(Buffer.alloc(0)) },
    ];
    for (const empty of empties) assert.equal((await contentOf(empty)).bytes.length, 0);
  });

  test('a file larger than what is read at once comes whole and in order', async () => {
    for (const length of [MiB - 1, MiB, MiB + 1, 3 * MiB + 17]) {
      const bytes = randomBytes(length);
      assert.ok((await contentOf({ path: file(bytes) })).bytes.equals(bytes), `length ${length}`);
    }
  });
});

describe('pieces of a stream that are there already', () => {
  /** A stream that has its next piece as soon as it is asked. */
  function prompt(given: readonly Buffer[], options: { highWaterMark?: number } = {}): Readable {
    const left = [...given];
    return new Readable({
      ...options,
      read() {
        this.push(left.shift() ?? null);
      },
    });
  }

  /** All pieces as an engine takes them, with the event loop's turns between some of them, and how many had to be waited for. */
  async function taken(stream: Readable): Promise<{ chunks: Uint8Array[]; waited: number }> {
    const body = await openBody(stream);
    const source = body.chunks();
    const chunks: Uint8Array[] = [];
    let waited = 0;
    for await (const first of source) {
      waited += 1;
      for (let chunk: Uint8Array | undefined = first; chunk !== undefined; chunk = source.take?.()) {
        chunks.push(chunk);
        // The stream reads ahead meanwhile.
        if (chunks.length % 7 === 0) await settle();
      }
    }
    await body.close();
    return { chunks, waited };
  }

  test('are had without waiting, and as they are: no promise and no copy for each', async () => {
    const given = Array.from({ length: 100 }, () => randomBytes(1000));
    const { chunks, waited } = await taken(prompt(given, { highWaterMark: 1000 }));
    assert.deepEqual(chunks, given);
    assert.ok(chunks.every((chunk, i) => chunk === given[i]));
    assert.ok(waited <= 2, `${waited} were waited for`);
  });

  test('come in order and whole, whatever kind of stream it is', async () => {
    const kinds: Record<string, Readable> = {
      'larger than its mark': prompt([...pieces(content, 5000)], { highWaterMark: 64 }),
      'smaller than its mark': prompt([...pieces(content, 50)]),
      'of objects': Readable.from(pieces(content, 5000)),
      'a pipe': Readable.from(pieces(content, 5000)).pipe(new PassThrough()),
      'a file': createReadStream(file(), { highWaterMark: 999 }),
      'now and then': Readable.from(
        (async function* () {
          for (const piece of pieces(content, 9000)) {
            await settle();
            yield piece;
          }
        })(),
      ),
    };
    for (const [name, stream] of Object.entries(kinds)) {
      const { readableHighWaterMark } = stream;
      assert.ok(Buffer.concat((await taken(stream)).chunks).equals(content), name);
      assert.equal(stream.readableHighWaterMark, readableHighWaterMark, `${name}: its mark is the caller's`);
    }
  });

  test('are none after a failure, which the iteration tells', async () => {
    const stream = prompt(Array.from({ length: 9 }, () => randomBytes(10)));
    const source = (await openBody(stream)).chunks();
    const iterator = source[Symbol.asyncIterator]();
    await iterator.next();
    stream.destroy(new Error('unplugged'));
    assert.equal(source.take?.(), undefined);
    await assert.rejects(iterator.next(), failure('SOURCE_FAILED', /unplugged/));
  });

  test('that are no bytes are a TypeError', async () => {
    await assert.rejects(taken(Readable.from([Buffer.from('a'), { a: 1 }])), TypeError);
  });
});

describe('what cannot be uploaded is a TypeError', () => {
  test('at once, for what is no body', async () => {
    for (const body of [
      undefined,
      null,
      5,
      true,
      {},
      Symbol('x'),
      new Date(),
      { path: 5 },
      new DataView(new ArrayBuffer(4)),
    ])
      await assert.rejects(openBody(body as UploadBody), TypeError);
  });

  test('while it is read, for chunks that are no bytes', async () => {
    for (const body of [
      Readable.from([{ a: 1 }]),
      [1, 2, 3],
      new Uint16Array(3),
      (async function* () {
        yield null;
      })(),
    ])
      await assert.rejects(contentOf(body as UploadBody), TypeError);
  });

  test('for a function that returns a function', async () => {
    await assert.rejects(openBody((() => () => content) as unknown as UploadBody), TypeError);
  });
});

describe('a source that fails is ERR_SEALPIPE_SOURCE_FAILED with its error as the cause', () => {
  const cause = new Error('disk on fire');

  test('when it fails in the middle', async () => {
    const failing: Record<string, UploadBody> = {
      stream: new Readable({
        read() {
          this.push(Buffer.alloc(10));
          this.destroy(cause);
        },
      }),
      iterable: (async function* () {
        yield Buffer.alloc(10);
        throw cause;
      })(),
      web: new ReadableStream<Uint8Array>({
        start: (controller) => controller.enqueue(Buffer.alloc(10)),
        pull: (controller) => controller.error(cause),
      }),
    };
    for (const [kind, body] of Object.entries(failing)) {
      await assert.rejects(contentOf(body), (error: Error) => {
        failure('SOURCE_FAILED', /disk on fire/)(error);
        assert.equal(error.cause, cause, kind);
        return true;
      });
    }
  });

  test('also when that is a TypeError, as of a body of fetch whose connection broke', async () => {
    const terminated = new TypeError('terminated');
    const failing: Record<string, UploadBody> = {
      stream: new Readable({ read: () => undefined }).on('error', () => undefined).destroy(terminated),
      iterable: (async function* () {
        yield Buffer.alloc(10);
        throw terminated;
      })(),
      web: new ReadableStream<Uint8Array>({ pull: (controller) => controller.error(terminated) }),
      factory: () => Promise.reject(terminated),
    };
    for (const [kind, body] of Object.entries(failing)) {
      await assert.rejects(
        contentOf(body),
        (error: Error) => failure('SOURCE_FAILED', /terminated/)(error) && error.cause === terminated,
        kind,
      );
    }
  });

  test('when a function throws or rejects', async () => {
    for (const body of [
      () => {
        throw cause;
      },
      () => Promise.reject(cause),
    ])
      await assert.rejects(openBody(body), (error: Error) => failure('SOURCE_FAILED')(error) && error.cause === cause);
  });

  test('when it fails after it was opened and before it is read: that is no uncaught error', async () => {
    const missing = createReadStream(join(folder, 'no-such-file'));
    const opened = await openBody(missing);
    await settle();
    await until(() => missing.destroyed);
    await assert.rejects(readAll(opened), failure('SOURCE_FAILED', /ENOENT/));
    await opened.close();
    const web = await openBody(new ReadableStream<Uint8Array>({ start: (controller) => controller.error(cause) }));
    await settle();
    await assert.rejects(readAll(web), failure('SOURCE_FAILED', /disk on fire/));
    await web.close();
  });

  test('when it had failed before it was given', async () => {
    const dead = new Readable({ read: () => undefined });
    dead.on('error', () => undefined).destroy(cause);
    await settle();
    await assert.rejects(contentOf(dead), (error: Error) => failure('SOURCE_FAILED')(error) && error.cause === cause);
  });

  test('an error of ours is passed on as it is', async () => {
    const own = new SealpipeError('ABORTED', 'enough');
    const body = (async function* () {
      yield Buffer.alloc(1);
      throw own;
    })();
    await assert.rejects(contentOf(body), (error) => error === own);
  });
});

describe('a stream that has nothing more to give is refused, not taken for an empty one', () => {
  test('when it was destroyed', async () => {
    const stream = Readable.from([content]);
    stream.destroy();
    await assert.rejects(contentOf(stream), failure('SOURCE_FAILED', /destroyed before/));
  });

  test('when it had been read to its end', async () => {
    const stream = Readable.from([content]);
    await stream.resume().toArray();
    await assert.rejects(contentOf(stream), failure('SOURCE_FAILED', /read to its end before/));
  });

  test('while an empty one that ended is empty', async () => {
    const stream = new PassThrough();
    stream.end();
    assert.equal((await contentOf(stream)).bytes.length, 0);
  });
});

describe('a stream that is let go of early', () => {
  test('is destroyed, without an uncaught error', async () => {
    const stream = Readable.from(pieces(content, 100));
    const opened = await openBody(stream);
    for await (const chunk of opened.chunks()) {
      assert.ok(chunk.length > 0);
      break;
    }
    await opened.close();
    assert.ok(stream.destroyed);
  });

  test('is destroyed even if it was never read', async () => {
    const stream = new PassThrough();
    await (await openBody(stream)).close();
    assert.ok(stream.destroyed);
  });

  test('is left without our listeners when it was read to its end', async () => {
    const stream = Readable.from([content], { autoDestroy: false });
    await contentOf(stream);
    assert.equal(stream.listenerCount('error'), 0);
  });

  test('a generator is ended too', async () => {
    let ended = false;
    const source = (async function* () {
      try {
        for (;;) yield Buffer.alloc(10);
      } finally {
        ended = true;
      }
    })();
    const opened = await openBody(source);
    for await (const chunk of opened.chunks()) {
      assert.ok(chunk.length > 0);
      break;
    }
    await opened.close();
    assert.equal(ended, true);
  });
});

describe('a file by its path', () => {
  test('that cannot be opened is ERR_SEALPIPE_SOURCE_FAILED', async () => {
    mkdirSync(join(folder, 'directory'), { recursive: true });
    for (const [path, why] of [
      [join(folder, 'no-such-file'), /ENOENT/],
      [join(folder, 'directory'), /is a directory/],
      [join(file(), 'below'), /ENOTDIR/],
    ] as const)
      await assert.rejects(openBody({ path }), failure('SOURCE_FAILED', why));
    assert.equal(openFiles(), 0);
  });

  const changes: Record<string, (path: string) => void> = {
    'becomes shorter': (path) => truncateSync(path, 2 * MiB),
    'becomes longer': (path) => appendFileSync(path, 'more'),
    'becomes empty': (path) => truncateSync(path, 0),
    'is written over in place': (path) => writeFileSync(path, randomBytes(4 * MiB), { flag: 'r+' }),
    'gets another time': (path) => utimesSync(path, 1, 1),
  };
  for (const [what, change] of Object.entries(changes)) {
    test(`that ${what} while it is read is ERR_SEALPIPE_SOURCE_CHANGED`, async () => {
      const path = file(randomBytes(4 * MiB));
      const opened = await openBody({ path });
      let chunks = 0;
      await assert.rejects(
        async () => {
          for await (const chunk of opened.chunks()) {
            assert.ok(chunk.length > 0);
            if (++chunks === 1) change(path);
          }
        },
        failure('SOURCE_CHANGED', new RegExp(`^${path} changed`)),
      );
      await opened.close();
      assert.equal(openFiles(), 0);
    });
  }

  test('that is replaced under its name is read on as the file that was opened, which it still is', async () => {
    const bytes = randomBytes(3 * MiB);
    const path = file(bytes);
    const opened = await openBody({ path });
    const chunks: Buffer[] = [];
    const read = (async () => {
      for await (const chunk of opened.chunks()) {
        if (chunks.push(Buffer.from(chunk)) === 1) {
          writeFileSync(`${path}.new`, 'other');
          rmSync(path);
        }
      }
    })();
    // Removing a name changes the file's attributes, and that is told; its bytes were never mixed with another's.
    await assert.rejects(read, failure('SOURCE_CHANGED', /attributes/));
    assert.ok(Buffer.concat(chunks).equals(bytes.subarray(0, Buffer.concat(chunks).length)));
    await opened.close();
  });

  test('that is let go of while a read is under way closes after it', async () => {
    const path = file(randomBytes(8 * MiB));
    for (let round = 0; round < 5; round++) {
      const opened = await openBody({ path });
      const chunks = opened.chunks()[Symbol.asyncIterator]();
      await chunks.next();
      // Not awaited, as an upload that fails does not wait for its source.
      void chunks.return?.(undefined);
      await opened.close();
    }
    assert.equal(openFiles(), 0);
  });

  test('of the kernel, which says it is empty and is not, is read all the same', {
    skip: !existsSync('/proc/version'),
  }, async () => {
    const { bytes, length } = await contentOf({ path: '/proc/version' });
    assert.match(bytes.toString(), /version/);
    assert.equal(length, undefined);
    assert.equal(await isRestartable({ path: '/proc/version' }), true);
  });
});

describe('a FIFO', { skip: process.platform === 'win32' }, () => {
  test('is read once, to the end that its writer makes, and cannot be restarted', async () => {
    const path = join(folder, 'fifo');
    execFileSync('mkfifo', [path]);
    assert.equal(await isRestartable({ path }), false);
    const writing = writeFile(path, content);
    const { bytes, length } = await contentOf({ path });
    await writing;
    assert.ok(bytes.equals(content));
    assert.equal(length, undefined);
  });

  test('that is let go of early ends its writer', async () => {
    const path = join(folder, 'fifo-early');
    execFileSync('mkfifo', [path]);
    const writing = writeFile(path, Buffer.alloc(4 * MiB)).catch((error: NodeJS.ErrnoException) => error.code);
    const opened = await openBody({ path });
    for await (const chunk of opened.chunks()) {
      assert.ok(chunk.length > 0);
      break;
    }
    await opened.close();
    assert.equal(await writing, 'EPIPE');
  });
});

describe('a FIFO on Linux', { skip: process.platform !== 'linux' }, () => {
  const fifo = (name: string): string => {
    const path = join(folder, name);
    execFileSync('mkfifo', [path]);
    return path;
  };

  test('waits for a writer that comes late, and through its pauses; one that writes nothing ends it', async () => {
    const path = fifo('fifo-late');
    const reading = contentOf({ path });
    await sleep(60);
    const writer = createWriteStream(path);
    writer.write(content.subarray(0, 10));
    await sleep(60);
    writer.end(content.subarray(10));
    assert.ok((await reading).bytes.equals(content));
    const empty = contentOf({ path });
    await writeFile(path, '');
    assert.equal((await empty).bytes.length, 0);
  });

  test('takes no thread of those that all files are read by, and is let go of while it waits', async (t) => {
    const before = openFiles();
    const paths = Array.from({ length: 5 }, (_, i) => fifo(`fifo-silent-${i}`));
    // Frees the threads that wait for a writer, where there are such.
    t.after(() => paths.map((path) => closeSync(openSync(path, constants.O_RDWR | constants.O_NONBLOCK))));
    const opened = Promise.all(paths.map((path) => openBody({ path })));
    const bodies = await Promise.race([opened, sleep(5000)]);
    assert.ok(bodies, 'the FIFOs keep all threads waiting');
    for (const body of bodies)
      void body
        .chunks()
        [Symbol.asyncIterator]()
        .next()
        .catch(() => undefined);
    await sleep(50);
    assert.ok(await Promise.race([writeFile(join(folder, 'other'), 'x').then(() => true), sleep(5000)]));
    for (const body of bodies) await body.close();
    await until(() => openFiles() === before, 'the FIFOs are closed');
  });

  test('a pipe by its name in /dev/fd is read to its end', () => {
    const script = `
      import { openBody } from ${JSON.stringify(join(import.meta.dirname, '../../src/multipart/upload-body.js'))};
      let length = 0;
      for await (const chunk of (await openBody({ path: process.argv[1] })).chunks()) length += chunk.length;
      console.log(length);
    `;
    const shell = 'head -c 300000 /dev/zero | "$0" --input-type=module -e "$1" /dev/fd/0';
    assert.equal(String(execFileSync('sh', ['-c', shell, process.execPath, script])), '300000\n');
  });
});

test('a device is read as a stream', { skip: !existsSync('/dev/zero') }, async () => {
  assert.equal(await isRestartable({ path: '/dev/zero' }), false);
  const opened = await openBody({ path: '/dev/zero' });
  assert.equal(opened.length, undefined);
  const chunks = opened.chunks()[Symbol.asyncIterator]();
  assert.equal((await chunks.next()).done, false);
  await chunks.return?.(undefined);
  await opened.close();
});

test('a stream in use elsewhere is not destroyed twice', async () => {
  const stream = Readable.from(pieces(content, 10_000));
  const opened = await openBody(stream);
  const chunks = opened.chunks()[Symbol.asyncIterator]();
  await chunks.next();
  stream.destroy();
  await once(stream, 'close');
  await opened.close();
  assert.ok(stream.destroyed);
});
