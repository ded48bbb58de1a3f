/**
 * High-water mark of our streams, in bytes. Node 20's default of 16 KiB is below the 64 KiB that files and sockets deliver
 * at once, so that every chunk would wait for a drain event of its own.
 */
export const streamBufferLength: number = 512 * 1024;
