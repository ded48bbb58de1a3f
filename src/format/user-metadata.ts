/** What a caller may give as user metadata: what arrives at S3 as it was given, and comes back so. Pure. */
import { claimedLengthKey, envelopeKeys } from './envelope.ts';
import type { StringMap } from './string-map.ts';

/** A name as HTTP has it (RFC 9110, section 5.6.2). */
const token = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

/**
 * Checks user metadata before anything is asked for or sent.
 *
 * Values outside of US-ASCII are refused, as the AWS CLI does it: some cannot be put into a header, and what can comes back from S3
 * in another form, if it does not break the request's signature. HTTP drops space around a value, and S3 folds the case of names.
 * @throws TypeError that names the entry
 */
export function assertUserMetadata(metadata: StringMap): void {
  if (typeof metadata !== 'object' || metadata === null || Array.isArray(metadata))
    throw new TypeError('Metadata is no object: expected names and values, both strings');
  const seen = new Set<string>();
  for (const [name, value] of Object.entries(metadata)) {
    const said = `metadata ${JSON.stringify(name)}`;
    const folded = name.toLowerCase();
    if (!token.test(name))
      throw new TypeError(
        `${said} cannot be a name: expected letters, digits and !#$%&'*+.^_\`|~-, as in a header of HTTP`,
      );
    if (envelopeKeys.includes(folded) || folded === claimedLengthKey)
      throw new TypeError(`${said} is a name of the encryption envelope, choose another`);
    if (seen.has(folded)) throw new TypeError(`${said} is given twice: S3 does not tell upper and lower case apart`);
    seen.add(folded);
    if (typeof value !== 'string') throw new TypeError(`${said} has a value that is no string`);
    if (!/^[\x20-\x7e]*$/.test(value))
      throw new TypeError(
        `${said} has a value with characters other than printable US-ASCII, which S3 does not keep as they are: encode it (encodeURIComponent, base64)`,
      );
    if (value !== value.trim())
      throw new TypeError(
        `${said} has a value with space at its beginning or end, which HTTP drops: leave it out or encode it`,
      );
  }
}
