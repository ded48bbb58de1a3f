/**
 * What a thread connects by and shares with no other: what the command line says of TLS and of addresses, and what the program has set
 * since, hold for the calling thread alone. A worker that went by its own would trust other servers than the client that signs.
 */
import dns from 'node:dns';
import net from 'node:net';
import tls from 'node:tls';

export interface NetworkSettings {
  readonly minVersion: tls.SecureVersion;
  readonly maxVersion: tls.SecureVersion;
  readonly ciphers: string;
  readonly ecdhCurve: string;
  readonly resultOrder: 'ipv4first' | 'ipv6first' | 'verbatim';
  readonly autoSelectFamily: boolean;
  readonly attemptTimeout: number;
  /** Workers have it from the environment, as it is when they start. */
  readonly rejectUnauthorized: string | undefined;
  /** PEM of the authorities that are trusted, where they are not those of every thread. */
  readonly authorities: readonly string[] | undefined;
}

/** Of Node 22.19 and 24.5 on: before, no thread could trust others than its process does. */
interface AuthoritySettings {
  readonly getCACertificates?: (kind: 'default' | 'bundled' | 'extra') => readonly string[];
  readonly setDefaultCACertificates?: (certificates: readonly string[]) => void;
}

const { getCACertificates, setDefaultCACertificates } = tls as unknown as AuthoritySettings;

/** The calling thread's, as they are now. */
export function networkSettings(): NetworkSettings {
  return {
    minVersion: tls.DEFAULT_MIN_VERSION,
    maxVersion: tls.DEFAULT_MAX_VERSION,
    ciphers: tls.DEFAULT_CIPHERS,
    ecdhCurve: tls.DEFAULT_ECDH_CURVE,
    resultOrder: dns.getDefaultResultOrder(),
    autoSelectFamily: net.getDefaultAutoSelectFamily(),
    attemptTimeout: net.getDefaultAutoSelectFamilyAttemptTimeout(),
    rejectUnauthorized: process.env.NODE_TLS_REJECT_UNAUTHORIZED,
    authorities: ownAuthorities(),
  };
}

export function areSameSettings(found: NetworkSettings, expected: NetworkSettings): boolean {
  return (Object.keys(found) as (keyof NetworkSettings)[]).every((name) => found[name] === expected[name]);
}

/** Has the calling thread, which is a worker, connect as another one does. */
export function applyNetworkSettings(settings: NetworkSettings): void {
  tls.DEFAULT_MIN_VERSION = settings.minVersion;
  tls.DEFAULT_MAX_VERSION = settings.maxVersion;
  tls.DEFAULT_CIPHERS = settings.ciphers;
  tls.DEFAULT_ECDH_CURVE = settings.ecdhCurve;
  dns.setDefaultResultOrder(settings.resultOrder);
  net.setDefaultAutoSelectFamily(settings.autoSelectFamily);
  net.setDefaultAutoSelectFamilyAttemptTimeout(settings.attemptTimeout);
  const { authorities } = settings;
  // Under --use-openssl-ca, which holds for the whole process, they are not known to Node, and none would be left.
  if (authorities !== undefined && !isSameSet(authorities, getCACertificates?.('default') ?? []))
    setDefaultCACertificates?.(authorities);
}

/** What was looked at last: the array is the same until others are set. */
let known: { readonly all: readonly string[]; readonly own: readonly string[] | undefined } | undefined;

function ownAuthorities(): readonly string[] | undefined {
  if (getCACertificates === undefined || setDefaultCACertificates === undefined) return undefined;
  const all = getCACertificates('default');
  if (known?.all !== all) {
    const usual = [...getCACertificates('bundled'), ...getCACertificates('extra')];
    known = { all, own: isSameSet(all, usual) ? undefined : all };
  }
  return known.own;
}

function isSameSet(found: readonly string[], expected: readonly string[]): boolean {
  const [a, b] = [new Set(found), new Set(expected)];
  return a.size === b.size && [...a].every((each) => b.has(each));
}
