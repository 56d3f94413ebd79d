/** A proxy between clients and the service that passes bytes on until it is told to cut. */
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

export class CuttableProxy {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #isDown = false;
  /** Connections that have been accepted so far. */
  accepted = 0;

  private constructor(upstreamPort: number) {
    this.#server = createServer((client) => {
      this.#keep(client);
      if (this.#isDown) {
        client.resetAndDestroy();
        return;
      }
      this.accepted++;
      const upstream = connect(upstreamPort, '127.0.0.1');
      this.#keep(upstream);
      client.pipe(upstream).pipe(client);
      client.once('close', () => upstream.destroy());
      upstream.once('close', () => client.destroy());
    });
  }

  static async start(upstreamPort: number): Promise<CuttableProxy> {
    const proxy = new CuttableProxy(upstreamPort);
    await new Promise<void>((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Resets every connection; half-sent events are lost with it. */
  cut(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  /** Cuts, and resets new connections as well until `restore`. */
  takeDown(): void {
    this.#isDown = true;
    this.cut();
  }

  restore(): void {
    this.#isDown = false;
  }

  async close(): Promise<void> {
    this.takeDown();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('error', () => socket.destroy());
    socket.once('close', () => this.#sockets.delete(socket));
  }
}
