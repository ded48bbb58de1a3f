/** The decimal `unscaled` / 10^scale in digits, with as many places as the scale has: 12.50 for (1250, 2). */
export function formatDecimal(unscaled: bigint, scale: number): string {
  const digits = unscaled.toString();
  if (scale === 0) return digits;
  const negative = digits.charCodeAt(0) === 45;
  const magnitude = negative ? digits.slice(1) : digits;
  const padded = magnitude.length > scale ? magnitude : magnitude.padStart(scale + 1, '0');
  const point = padded.length - scale;
  return `${negative ? '-' : ''}${padded.slice(0, point)}.${padded.slice(point)}`;
}

/** Takes a decimal apart: digits with an optional sign, point and exponent. Undefined where it is none. */
export function parseDecimal(text: string): { unscaled: bigint; scale: number } | undefined {
  const match = /^([+-]?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d{1,4}))?$/.exec(text.trim());
  if (match === null) return undefined;
  const [, sign = '', whole = '', fraction = '', exponent = '0'] = match;
  if (whole === '' && fraction === '') return undefined;
  const magnitude = BigInt(whole + fraction);
  const scale = fraction.length - Number(exponent);
  const unscaled = sign === '-' ? -magnitude : magnitude;
  return scale < 0 ? { unscaled: unscaled * 10n ** BigInt(-scale), scale: 0 } : { unscaled, scale };
}
