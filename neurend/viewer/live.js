'use strict';
// Sound goes out in pieces, one request at a time; frames come in through one endless answer.
const HEADER = 16, MOST = 60000, RECENT = 250;
const fragment = new URLSearchParams(location.hash.slice(1));
const element = (name) => document.getElementById(name);
const canvas = element('picture'), pen = canvas.getContext('2d');
if (fragment.has('token')) {
  sessionStorage.setItem('token', fragment.get('token'));
  history.replaceState(null, '', location.pathname);
}
const token = sessionStorage.getItem('token');
let talk = null;

function request(path, body, kind) {
  const headers = { 'Content-Type': kind };
  if (token) headers.Authorization = 'Bearer ' + token;
  const options = body === null ? { headers: token ? { Authorization: headers.Authorization } : {} } : { method: 'POST', headers, body };
  return fetch(path, options).then(async (answer) => {
    if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).error || answer.statusText);
    return answer;
  });
}
const tell = (path, values) => request(path, JSON.stringify(values), 'application/json');

class Talk {
  constructor() {
    this.waiting = []; this.waits = 0; this.sending = false; this.sent = 0; this.count = 0;
    this.arrivals = []; this.latencies = []; this.unreported = []; this.times = [];
    this.skipped = 0; this.lost = 0; this.next = null; this.ended = false;
  }

  async begin(connect) {
    this.audio = new AudioContext({ latencyHint: 'interactive' });
    await this.audio.audioWorklet.addModule('/microphone.js');
    await this.audio.resume();
    const pieces = new AudioWorkletNode(this.audio, 'pieces', { channelCount: 1, channelCountMode: 'explicit' });
    pieces.connect(this.audio.destination);  // it puts out silence, and runs only if something asks for that
    this.delay = this.audio.createDelay(10);
    await connect(this, pieces);
    this.about = await (await tell('/start', { rate: this.audio.sampleRate })).json();
    canvas.width = this.about.width; canvas.height = this.about.height;
    element('name').textContent = this.about.name;
    this.delay.delayTime.value = this.about.wait;
    this.query = '?session=' + encodeURIComponent(this.about.session);
    pieces.port.onmessage = (event) => this.hear(event.data);
    this.timer = setInterval(() => this.report(), 1000);
    requestAnimationFrame(() => this.show());
    const answer = await request('/frames' + this.query, null);
    say('');
    this.read(answer.body.getReader()).catch((error) => this.end(error));
  }

  hear(piece) {
    if (this.ended) return;
    this.count += piece.length;
    this.arrivals.push([this.count, performance.now()]);
    if (this.arrivals.length > 3000) this.arrivals.splice(0, 1000);
    this.waiting.push(piece); this.waits += piece.length;
    // A network that is too slow loses sound, and catches up.
    while (this.waits > this.audio.sampleRate) { const old = this.waiting.shift(); this.waits -= old.length; this.sent += old.length; }
    if (!this.sending) this.send();
  }

  async send() {
    this.sending = true;
    try {
      while (this.waiting.length && !this.ended) {
        let size = 0, number = 0;
        while (number < this.waiting.length && size + this.waiting[number].length <= MOST) size += this.waiting[number++].length;
        const body = new Float32Array(size);
        let place = 0;
        for (const piece of this.waiting.splice(0, number)) { body.set(piece, place); place += piece.length; }
        this.waits -= size;
        const start = this.sent;
        this.sent += size;
        await request(`/audio${this.query}&start=${start}`, body, 'application/octet-stream');
      }
    } catch (error) { this.end(error); }
    this.sending = false;
  }

  async read(reader) {
    let bytes = new Uint8Array(0);
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return this.end();
      const more = new Uint8Array(bytes.length + value.length);
      more.set(bytes); more.set(value, bytes.length);
      bytes = more;
      while (bytes.length >= HEADER) {
        const view = new DataView(bytes.buffer, bytes.byteOffset), size = view.getUint32(0, true);
        if (bytes.length < HEADER + size) break;
        this.lost = view.getUint32(8, true);
        const picture = await createImageBitmap(new Blob([bytes.subarray(HEADER, HEADER + size)], { type: 'image/jpeg' }));
        if (this.next) { this.skipped++; this.next.picture.close(); }
        this.next = { frame: view.getUint32(4, true), picture };
        bytes = bytes.slice(HEADER + size);
      }
    }
  }

  show() {
    if (this.ended) return;
    requestAnimationFrame(() => this.show());
    if (!this.next) return;
    const { frame, picture } = this.next;
    this.next = null;
    pen.drawImage(picture, 0, 0);
    picture.close();
    const size = Math.max(9, canvas.width / 24);
    pen.font = `${size}px system-ui, sans-serif`; pen.textBaseline = 'bottom'; pen.lineWidth = size / 5;
    pen.strokeStyle = '#000a'; pen.fillStyle = '#fff';
    pen.strokeText('synthetic', size / 2, canvas.height - size / 3);
    pen.fillText('synthetic', size / 2, canvas.height - size / 3);
    this.measure(frame);
  }

  // From the moment at which the frame's own sound was heard to now.
  measure(frame) {
    const now = performance.now(), sample = frame / this.about.fps * this.audio.sampleRate;
    const piece = this.arrivals.find(([end]) => end > sample);
    if (!piece) return;
    const latency = now - (piece[1] - (piece[0] - sample) / this.audio.sampleRate * 1000);
    this.latencies.push(latency); this.unreported.push(latency); this.times.push(now);
    for (const list of [this.latencies, this.times]) if (list.length > RECENT) list.shift();
  }

  report() {
    if (!this.latencies.length || this.ended) return;
    const sorted = [...this.latencies].sort((a, b) => a - b), at = (part) => sorted[Math.floor(part * (sorted.length - 1))];
    const span = this.times[this.times.length - 1] - this.times[0];
    element('latency').textContent = `${at(0.5).toFixed(0)} ms`;
    element('latency95').textContent = `${at(0.95).toFixed(0)} ms`;
    element('rate').textContent = span > 0 ? ((this.times.length - 1) * 1000 / span).toFixed(1) : '';
    element('dropped').textContent = this.lost + this.skipped;
    // The sound of a file is played when its picture is shown.
    this.delay.delayTime.setTargetAtTime(Math.min(9, at(0.5) / 1000), this.audio.currentTime, 0.5);
    tell('/shown' + this.query, { latency_ms: this.unreported.splice(0), dropped: this.lost + this.skipped }).catch((error) => this.end(error));
  }

  end(error) {
    if (this.ended) return;
    this.ended = true;
    clearInterval(this.timer);
    if (this.tracks) for (const track of this.tracks) track.stop();
    if (this.query) tell('/stop' + this.query, {}).catch(() => {});
    if (this.audio) this.audio.close();
    say(error ? `Ended: ${error.message}` : 'Ended.');
  }
}

function say(text) { element('message').textContent = text; }

async function begin(connect) {
  if (talk) talk.end();
  talk = new Talk();
  say('Starting ...');
  try { await talk.begin(connect); } catch (error) { talk.end(error); }
}

async function microphone(talk, pieces) {
  if (!navigator.mediaDevices) throw new Error('this browser gives no microphone to this page; open it on this machine, or by HTTPS');
  const stream = await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1 } });
  talk.tracks = stream.getTracks();
  talk.audio.createMediaStreamSource(stream).connect(pieces);
}

function recording(file) {
  return async (talk, pieces) => {
    const source = talk.audio.createBufferSource();
    source.buffer = await talk.audio.decodeAudioData(await file.arrayBuffer());
    source.loop = element('repeat').checked;
    source.connect(pieces);
    source.connect(talk.delay).connect(talk.audio.destination);
    source.start();
  };
}

element('microphone').onclick = () => begin(microphone);
element('file').onchange = (event) => { if (event.target.files.length) begin(recording(event.target.files[0])); event.target.value = ''; };
element('stop').onclick = () => { if (talk) talk.end(); };
if (fragment.has('microphone')) begin(microphone);
