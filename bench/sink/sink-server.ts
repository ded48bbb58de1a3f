/**
 * An S3- and KMS-shaped server that discards what it is sent and serves what takes no memory, for measuring clients: it is made to
 * cost little, and to need no disk. It checks no signature and no checksum.
 */
import { type AddressInfo, createServer, type Server, Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { LocalCertificates } from '../../src/local/tls/certificates.ts';
import { ServedObjects } from './served-objects.ts';
import { SinkConnection, type SinkState } from './sink-connection.ts';
import { Tally } from './tally.ts';

/**
 * Bytes of the one buffer that all connections are read into. Each read is dealt with before the next begins, so one is enough,
 * and it stays in the processor's cache.
 */
const readLength = 512 * 1024;

export interface RunningSink {
  readonly port: number;
  /** PEM of the authority to trust, with TLS. */
  readonly ca: string | undefined;
  close(): Promise<void>;
}

export async function startSink({ tls = false }: { readonly tls?: boolean } = {}): Promise<RunningSink> {
  const state: SinkState = { objects: new ServedObjects(), tally: new Tally(), latency: 0, rate: 0 };
  const open = new Set<Socket>();
  const track = (socket: Socket): void => {
    open.add(socket);
    // A client that goes away in the middle is none of the sink's business.
    socket.on('error', () => undefined);
    socket.once('close', () => open.delete(socket));
  };
  const certificates = tls ? new LocalCertificates(undefined) : undefined;
  const server: Server =
    certificates === undefined
      ? createServer({ pauseOnConnect: true }, (socket) => track(readIntoOneBuffer(socket, state)))
      : createTlsServer(certificates.serverOptions(), (socket) => {
          track(socket);
          const connection = new SinkConnection(socket, state);
          socket.on('data', (bytes: Buffer) => {
            if (!connection.take(bytes)) socket.pause();
          });
        });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    ca: certificates?.ca,
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const socket of open) socket.destroy();
      await closed;
    },
  };
}

const readBuffer = Buffer.allocUnsafeSlow(readLength);

/**
 * The same connection as a socket with `onread`: no buffer is allocated for each read. Only sockets that connect can be given that
 * option, so the accepted one hands its handle over to one that was made with it.
 */
function readIntoOneBuffer(accepted: Socket, state: SinkState): Socket {
  const owner = accepted as unknown as { _handle: object | null };
  const handle = owner._handle;
  owner._handle = null;
  accepted.destroy();
  const options = {
    handle,
    onread: {
      buffer: readBuffer,
      callback: (length: number, buffer: Buffer): boolean => connection.take(buffer.subarray(0, length)),
    },
  };
  const socket = new Socket(options as ConstructorParameters<typeof Socket>[0]);
  // Nothing is read before this turn of the event loop has ended.
  const connection = new SinkConnection(socket, state);
  socket.resume();
  return socket;
}
