import { SealpipeError } from '../errors.ts';

/**
 * Loads a package that only some users need, and says how to get it where it is missing.
 *
 * @throws SealpipeError CONFIG_INVALID when it is not installed
 */
export async function optionalPeer<Module>(name: string, load: () => Promise<Module>): Promise<Module> {
  try {
    return await load();
  } catch (cause) {
    const { code, message = '' } = (cause ?? {}) as { code?: unknown; message?: string };
    // Only the package itself: what it fails to find is a fault of its installation, and to be seen as one.
    if (code === 'ERR_MODULE_NOT_FOUND' && message.includes(`'${name}'`)) {
      throw new SealpipeError('CONFIG_INVALID', `${name} is not installed, and this needs it: npm install ${name}`, {
        cause,
      });
    }
    throw cause;
  }
}
