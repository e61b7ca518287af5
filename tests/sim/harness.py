# SPDX-License-Identifier: Apache-2.0
"""What tests/bench/run, tests/sim/demo and tests/sim/soak share: a folder that goes away, child processes that end with us, and the daemon seen from outside: its
certificates, its INI, its status, its CPU time, memory and descriptors, and its API over one kept TLS connection with the front proxy's certificate.
"""
import atexit
import http.client
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class Failed(Exception):
    pass


class Run:
    """The folder of one run and the processes in it; both are gone when the program ends, however it ends."""

    def __init__(self, name):
        self.name = name
        self.work = tempfile.mkdtemp(prefix=f'kmetricsd-{name}.')
        self.children = []
        self.slow = 1  # factor of all deadlines (valgrind, sanitizers)
        atexit.register(self.clean_up)
        for signo in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(signo, lambda signo, frame: sys.exit(128 + signo))

    def path(self, name):
        return os.path.join(self.work, name)

    def start(self, name, argv, **env):
        with open(self.path(name + '.log'), 'ab') as log:
            child = subprocess.Popen(argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env={**os.environ, **env})
        child.log_name = name
        self.children.append(child)
        return child

    def stop(self, child, seconds=20):
        """SIGTERM; returns the exit status."""
        if child.poll() is None:
            child.terminate()
        try:
            return child.wait(seconds * self.slow)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
            raise Failed(f'{child.log_name} did not end within {seconds * self.slow} s of SIGTERM')

    def clean_up(self):
        for signo in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(signo, signal.SIG_IGN)
        for child in reversed(self.children):
            if child.poll() is None:
                child.terminate()
                try:
                    child.wait(5)
                except subprocess.TimeoutExpired:
                    child.kill()
                    child.wait()
        shutil.rmtree(self.work, ignore_errors=True)

    def log(self, name):
        try:
            with open(self.path(name + '.log'), errors='replace') as f:
                return f.read()
        except FileNotFoundError:
            return ''

    def alive(self):
        for child in self.children:
            if child.poll() is not None and child.returncode != 0:
                raise Failed(f'{child.log_name} ended with status {child.returncode}')

    def wait_for(self, what, condition, seconds=20, each=0.05):
        """Returns the condition's first true value."""
        end = time.monotonic() + seconds * self.slow
        while True:
            value = condition()
            if value:
                return value
            self.alive()
            if time.monotonic() > end:
                raise Failed(f'not within {seconds * self.slow} s: {what}')
            time.sleep(each)

    def main(self, fn, *args):
        """Runs fn(run, ...) and exits: 0, or 1 with what went wrong and the ends of the logs."""
        try:
            fn(self, *args)
        except Failed as e:
            print(f'{self.name}: FAILED: {e}', flush=True)
            for child in self.children:
                lines = self.log(child.log_name).splitlines()[-25:]
                if lines:
                    print(f'--- end of the log of {child.log_name}', *lines, sep='\n', flush=True)
            sys.exit(1)
        sys.exit(0)


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def client_context(ca, cert, key):
    context = ssl.create_default_context(cafile=ca)
    context.load_cert_chain(cert, key)
    return context


class Connection:
    """One kept TLS connection; the replies' bytes are read and dropped as fast as Python can, unless wanted."""

    def __init__(self, port, ca, cert, key, headers=()):
        context = client_context(ca, cert, key)
        raw = socket.create_connection(('127.0.0.1', port), timeout=60)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = context.wrap_socket(raw, server_hostname='127.0.0.1')
        self.headers = ''.join(f'{k}: {v}\r\n' for k, v in headers)
        self.buffer = bytearray(1 << 20)

    def close(self):
        self.socket.close()

    def _more(self, data):
        n = self.socket.recv_into(self.buffer)
        if n == 0:
            raise Failed('a reply was cut short')
        data += self.buffer[:n]

    def get(self, path):
        """(status, body, seconds)"""
        start = time.perf_counter()
        self.socket.sendall(f'GET {path} HTTP/1.1\r\nHost: kmetricsd\r\n{self.headers}\r\n'.encode())
        data = bytearray()
        while (end := data.find(b'\r\n\r\n')) < 0:
            self._more(data)
        head = data[:end].decode('latin-1').split('\r\n')
        fields = {k.lower(): v.strip() for k, _, v in (line.partition(':') for line in head[1:])}
        status = int(head[0].split()[1])
        at = end + 4
        if fields.get('transfer-encoding', '').lower() == 'chunked':
            parts = []
            while True:
                while (eol := data.find(b'\r\n', at)) < 0:
                    self._more(data)
                size = int(data[at:eol], 16)
                while len(data) < eol + 2 + size + 2:
                    self._more(data)
                parts.append((eol + 2, size))
                at = eol + 2 + size + 2
                if size == 0:
                    break
            seconds = time.perf_counter() - start
            return status, b''.join(bytes(data[a:a + n]) for a, n in parts), seconds
        length = int(fields.get('content-length', 0))
        while len(data) < at + length:
            self._more(data)
        return status, bytes(data[at:at + length]), time.perf_counter() - start

    def get_json(self, path):
        status, body, _ = self.get(path)
        return status, json.loads(body)


class Daemon:
    """`kmetricsd run`. wrapper: what it is run under (valgrind ...)."""

    def __init__(self, run, binary, ini, wrapper=(), **env):
        self.run, self.binary, self.ini = run, binary, ini
        before = run.log('kmetricsd').count('is ready')
        self.child = run.start('kmetricsd', [*wrapper, binary, 'run', '--config', ini], **env)
        self.pid = self.child.pid
        run.wait_for('the daemon is ready', lambda: run.log('kmetricsd').count('is ready') > before, 30)

    def status(self):
        out = subprocess.run([self.binary, 'status', '-o', 'json', '--config', self.ini], capture_output=True, text=True)
        if out.returncode not in (0, 1):
            raise Failed(f'kmetricsd status: {out.stderr.strip()}')
        return json.loads(out.stdout)

    def counters(self, module):
        for m in self.status()['modules']:
            if m['name'] == module:
                return m['counters']
        raise Failed(f'kmetricsd status knows no module {module}')

    def cpu_us(self):
        """CPU time of all its threads, to the nanosecond where the kernel keeps it so."""
        total = 0
        for task in os.listdir(f'/proc/{self.pid}/task'):
            with open(f'/proc/{self.pid}/task/{task}/schedstat') as f:
                total += int(f.read().split()[0])
        return total / 1000

    def rss_kb(self):
        with open(f'/proc/{self.pid}/status') as f:
            return next(int(line.split()[1]) for line in f if line.startswith('VmRSS:'))

    def descriptors(self):
        return len(os.listdir(f'/proc/{self.pid}/fd'))

    def stop(self):
        status = self.run.stop(self.child)
        if status != 0:
            raise Failed(f'the daemon ended with status {status}')

    def kill(self):
        """SIGKILL, as the kernel's out-of-memory killer does it."""
        self.child.kill()
        self.child.wait()
        self.run.children.remove(self.child)


class Simulator:
    """build/kmsim: kubelets and an API server."""

    def __init__(self, run, build, *arguments):
        self.run = run
        self.out = run.path('sim')
        self.child = run.start('kmsim', [f'{build}/kmsim', '--out', self.out, *arguments])
        pattern = re.compile(r'^kmsim ready: https://127\.0\.0\.1:(\d+), (\d+) nodes on port (\d+), (\d+) pods$', re.M)
        ready = run.wait_for('the simulator is up', lambda: pattern.search(run.log('kmsim')), 60)
        self.api_port, self.nodes, self.kubelet_port, self.pods = (int(x) for x in ready.groups())
        self.client_cert, self.client_key = self.path('client.pem'), self.path('client-key.pem')
        self._serving_certificate()
        self._api = None

    def path(self, name):
        return os.path.join(self.out, name)

    def _serving_certificate(self):
        """For the daemon: [cert-manager] is off, because what it works on are the files of a real master."""
        subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-subj', '/CN=kmetricsd',
                        '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', self.path('serving-key.pem'), '-out', self.path('serving.pem')],
                       check=True, stdin=subprocess.DEVNULL, capture_output=True)

    def write_ini(self, aggregator=(), hpa=None):
        """The INI's path and the port it names. aggregator, hpa: lines; hpa None: the controller is off."""
        port = free_port()
        with open(self.run.path('kmetricsd.ini'), 'w') as f:
            f.write('\n'.join(['[daemon]', f'state-dir = {self.run.path("state")}', f'control-socket = {self.run.path("control.sock")}',
                               '[kubernetes]', f'kubeconfig = {self.path("kubeconfig")}', 'node-name = master1',
                               '[aggregator]', 'bind-address = 127.0.0.1', f'secure-port = {port}', f'tls-cert-file = {self.path("serving.pem")}',
                               f'tls-private-key-file = {self.path("serving-key.pem")}', *aggregator, *(['[hpa]', *hpa] if hpa is not None else [])]) + '\n')
        return f.name, port

    def front_proxy(self, port, *headers):
        """A connection to the daemon as kube-apiserver makes it, with these headers besides."""
        return Connection(port, self.path('serving.pem'), self.path('front-proxy-client.pem'), self.path('front-proxy-client-key.pem'),
                          (('X-Remote-User', 'alice'), ('X-Remote-Group', 'system:authenticated'), *headers))

    def addresses(self):
        """of the kubelets, as bench-floor wants them"""
        nodes = self.get('/api/v1/nodes')['items']
        return ''.join(f'{a["address"]} {self.kubelet_port}\n' for n in nodes for a in n['status']['addresses'] if a['type'] == 'InternalIP')

    def get(self, path):
        """From the API server, or from the simulator's own /sim."""
        if not self._api:
            self._api = Connection(self.api_port, self.path('ca.pem'), self.client_cert, self.client_key)
        status, body, _ = self._api.get(path)
        if status != 200:
            raise Failed(f'kmsim: {path}: {status}: {body[:300]!r}')
        return json.loads(body)

    def post(self, path, body):
        connection = http.client.HTTPSConnection('127.0.0.1', self.api_port, timeout=20, context=client_context(self.path('ca.pem'), self.client_cert, self.client_key))
        connection.request('POST', path, json.dumps(body), {'Content-Type': 'application/json'})
        reply = connection.getresponse()
        text = reply.read()
        connection.close()
        if reply.status != 201:
            raise Failed(f'kmsim: POST {path}: {reply.status}: {text[:300]!r}')
