// Runs beside the page: hands on what is heard, in pieces of about 10 milliseconds, silence too.
'use strict';
class Pieces extends AudioWorkletProcessor {
  constructor() {
    super();
    this.size = 128 * Math.max(1, Math.round(sampleRate / 100 / 128));
    this.piece = new Float32Array(this.size);
    this.count = 0;
  }

  process(inputs) {
    const channel = inputs[0][0];
    if (channel) this.piece.set(channel, this.count);
    this.count += 128;
    if (this.count === this.size) {
      this.port.postMessage(this.piece, [this.piece.buffer]);
      this.piece = new Float32Array(this.size);
      this.count = 0;
    }
    return true;
  }
}
registerProcessor('pieces', Pieces);
