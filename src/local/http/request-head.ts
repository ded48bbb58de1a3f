/** What a request says before its body, kept both as sent (signatures are over that) and decoded. */
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';

/** A name-value pair of a query, decoded. */
export type Parameter = readonly [name: string, value: string];

export interface RequestHead {
  readonly method: string;
  /** As sent, without the query. */
  readonly rawPath: string;
  /** As sent, without the question mark. */
  readonly rawQuery: string;
  readonly parameters: readonly Parameter[];
  /** Names in lower case; values of a repeated header joined by commas, one character per byte (Latin-1). */
  readonly headers: ReadonlyMap<string, string>;
  /** Whether it came over TLS. */
  readonly secure: boolean;
  /** Whether it came from this machine. */
  readonly loopback: boolean;
}

/** A path or query that is no percent-encoded UTF-8. */
export class UriProblem extends Error {}

/** Undoes percent encoding. @throws UriProblem where the bytes are no UTF-8 */
export function percentDecode(text: string): string {
  if (!text.includes('%')) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    throw new UriProblem(`${JSON.stringify(text)} is not percent-encoded UTF-8`);
  }
}

function parseQuery(query: string): Parameter[] {
  if (query === '') return [];
  return query
    .split('&')
    .filter((pair) => pair !== '')
    .map((pair) => {
      const equals = pair.indexOf('=');
      const name = equals < 0 ? pair : pair.slice(0, equals);
      const value = equals < 0 ? '' : pair.slice(equals + 1);
      return [percentDecode(name.replaceAll('+', ' ')), percentDecode(value.replaceAll('+', ' '))] as const;
    });
}

function parseHeaders(rawHeaders: readonly string[]): Map<string, string> {
  const headers = new Map<string, string>();
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    const name = rawHeaders[at]!.toLowerCase();
    const value = rawHeaders[at + 1]!;
    const before = headers.get(name);
    headers.set(name, before === undefined ? value : `${before},${value}`);
  }
  return headers;
}

export function isLoopback(address: string | undefined): boolean {
  if (address === undefined) return false;
  const plain = address.startsWith('::ffff:') ? address.slice('::ffff:'.length) : address;
  return plain === '::1' || plain.startsWith('127.');
}

/** Splits what Node has parsed. @throws UriProblem */
export function readHead(request: IncomingMessage): RequestHead {
  const socket = request.socket as Socket & Partial<TLSSocket>;
  let target = request.url ?? '/';
  // The absolute form is what clients send to a proxy.
  const absolute = /^https?:\/\/[^/?]*/i.exec(target);
  if (absolute !== null) target = target.slice(absolute[0].length) || '/';
  const mark = target.indexOf('?');
  const rawQuery = mark < 0 ? '' : target.slice(mark + 1);
  return {
    method: request.method ?? 'GET',
    rawPath: mark < 0 ? target : target.slice(0, mark),
    rawQuery,
    parameters: parseQuery(rawQuery),
    headers: parseHeaders(request.rawHeaders),
    secure: socket.encrypted === true,
    loopback: isLoopback(socket.remoteAddress),
  };
}
