import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { S3Client } from '@aws-sdk/client-s3';
import { Bucket, TestEndpoint } from '../support/endpoint.ts';

const partSize = 16 * 1024 * 1024;

/** Passes everything on, but for the first request with part 1: that is answered at once, and not read before somebody asks. */
class ImpatientFront {
  readonly server: Server;
  held: { readonly socket: Socket; readonly chunks: Buffer[] } | undefined;
  readonly #sockets = new Set<Socket>();

  constructor(upstream: number) {
    this.server = createServer((socket) => {
      this.#keep(socket);
      const on = this.#keep(connect(upstream, '127.0.0.1'));
      on.pipe(socket);
      socket.once('close', () => on.destroy());
      on.once('close', () => socket.destroy());
      socket.on('data', (chunk: Buffer) => {
        if (this.held?.socket === socket) this.held.chunks.push(chunk);
        else if (this.held === undefined && /^PUT \S+partNumber=1&/.test(chunk.toString('latin1'))) {
          socket.pause();
          this.held = { socket, chunks: [chunk] };
          const body = '<Error><Code>SlowDown</Code></Error>';
          socket.write(`HTTP/1.1 503 Slow Down\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
        } else on.write(chunk);
      });
    });
  }

  #keep(socket: Socket): Socket {
    this.#sockets.add(socket.on('error', () => undefined));
    return socket;
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.server.close();
  }
}

describe('a part that is refused before all of it was taken', () => {
  let endpoint: TestEndpoint;
  before(async () => {
    endpoint = await TestEndpoint.start();
  });
  after(() => endpoint.close());

  for (const transport of ['client', 'workers'] as const) {
    test(`sends nothing more on that connection, whose memory other parts use by then (${transport})`, async (t) => {
      const front = new ImpatientFront(endpoint.local.port);
      await new Promise<void>((resolve) => front.server.listen(0, '127.0.0.1', resolve));
      t.after(() => front.close());
      const { port } = front.server.address() as AddressInfo;
      const client = new S3Client({ ...endpoint.local.s3Config, endpoint: `http://127.0.0.1:${port}` });
      t.after(() => client.destroy());
      async function* body(): AsyncGenerator<Buffer> {
        for (let i = 0; i < 8; i++) yield Buffer.alloc(partSize, i);
      }
      const upload = endpoint
        .encrypted({ client })
        .upload({ Bucket, Key: transport, Body: body() }, { partSize, queueSize: 1, transport, workers: 2 });
      const { retries } = await upload.done();
      assert.equal(retries, 1);
      const { held } = front;
      assert.ok(held !== undefined);
      const { socket, chunks } = held;
      const received = (): Buffer => {
        const bytes = Buffer.concat(chunks);
        return bytes.subarray(bytes.indexOf('\r\n\r\n') + 4);
      };
      // Read on now, when the part's memory has had others in it: what still comes is what the kernel had taken before.
      socket.resume();
      socket.on('data', () => {
        if (received().length >= partSize) socket.destroy();
      });
      await once(socket, 'close');
      const came = received();
      assert.ok(came.length < partSize, 'the connection went on sending after it had been answered');
      const { body: stored } = await endpoint.stored(transport);
      assert.ok(
        stored.subarray(0, came.length).equals(came),
        'bytes of another part were sent in the place of this one',
      );
    });
  }
});
