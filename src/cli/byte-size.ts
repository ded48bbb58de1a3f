/** Sizes in bytes, as people write and read them. Pure. */
import { UsageError } from './usage-error.ts';

const units: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40,
};

/**
 * Reads `16MiB`, `5MB`, `1.5 GiB`, `5242880`: powers of 1 024 with an `i`, of 1 000 without, upper or lower case.
 * @throws UsageError when it is no whole number of bytes
 */
export function parseByteSize(text: string): number {
  const [, number = '', unit = ''] = /^\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*$/i.exec(text) ?? [];
  const factor = units[unit.toLowerCase()];
  // Rounded, as 1.1 × 1 000 000 is not whole in binary floating point.
  const bytes = Math.round(Number(number) * (factor ?? Number.NaN));
  if (number !== '' && Number.isSafeInteger(bytes)) return bytes;
  // `16M` means either power to different programs: a guess would be wrong for half of its writers.
  const ambiguous = /^[kmgt]$/i.test(unit)
    ? `: write ${number}${unit.toUpperCase()}iB or ${number}${unit.toUpperCase()}B`
    : '';
  throw new UsageError(
    `${JSON.stringify(text)} is no size${ambiguous === '' ? ': expected a number of bytes, or one with a unit such as 16MiB or 5MB' : ambiguous}`,
  );
}

/** Bytes for people: `0 B`, `999 B`, `1.5 MiB`. */
export function formatByteSize(bytes: number): string {
  const names = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < names.length - 1) {
    value /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || value >= 100 ? 0 : 1;
  return `${value.toFixed(digits)} ${names[unit]}`;
}

/** Bytes a second for people. */
export function formatRate(bytes: number, seconds: number): string {
  return `${formatByteSize(seconds > 0 ? bytes / seconds : 0)}/s`;
}

/** A count with its noun: `1 part`, `3 parts`. */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}
