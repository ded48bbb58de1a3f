import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';

/** Ends a connection without ceremony: by a reset, or over TLS, where Node has none to give, by closing it unannounced. */
export function resetConnection(socket: Socket | null): void {
  if (socket instanceof TLSSocket) socket.destroy();
  else socket?.resetAndDestroy();
}
