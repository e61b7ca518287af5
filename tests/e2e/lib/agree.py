#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares what metrics.k8s.io serves with what the kubelet itself says.

Reads the kubelet's /metrics/resource several times a second, so that every sample it shows is on record, and beside that the served figures. For each
served figure the two samples at its window's ends are looked up; the CPU must be within 5 % of the counter's difference over that window, the memory equal to
the working set of one of the two samples. Exits 1 when a figure disagrees, or when fewer than 3 of the node and 3 of each pod could be compared.
"""
import argparse
import datetime
import json
import re
import ssl
import subprocess
import sys
import threading
import time
import urllib.request

LINE = re.compile(r'^(\w+)(?:\{(.*)\})? (\S+)(?: (\d+))?$')
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
UNITS = {'n': 1e-9, 'u': 1e-6, 'm': 1e-3, '': 1, 'k': 1e3, 'Ki': 1 << 10, 'Mi': 1 << 20, 'Gi': 1 << 30}


def quantity(text):
    number, unit = re.match(r'^(\d+)([a-zA-Z]*)$', text).groups()
    return int(number) * UNITS[unit]


def duration(text):
    minutes, seconds = re.match(r'^(?:(\d+)m)?([\d.]+)s$', text).groups()
    return int(minutes or 0) * 60 + float(seconds)


class Kubelet(threading.Thread):
    """Collects samples: key -> {timestamp in ms: value}; key is ('cpu'|'memory', pod or None)."""

    def __init__(self, args):
        super().__init__(daemon=True)
        context = ssl.create_default_context(cafile=args.ca)
        context.load_cert_chain(args.cert, args.key)
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
        self.url = args.kubelet + '/metrics/resource'
        self.samples = {}
        self.lock = threading.Lock()
        self.end = False

    def run(self):
        while not self.end:
            text = self.opener.open(self.url, timeout=10).read().decode()
            with self.lock:
                for line in text.splitlines():
                    self.take(line)
            time.sleep(0.2)

    def take(self, line):
        m = LINE.match(line)
        if not m or not m.group(4):
            return
        name, labels, value, ms = m.groups()
        labels = dict(LABEL.findall(labels or ''))
        kinds = {'node_cpu_usage_seconds_total': 'cpu', 'node_memory_working_set_bytes': 'memory',
                 'container_cpu_usage_seconds_total': 'cpu', 'container_memory_working_set_bytes': 'memory'}
        if name in kinds:
            self.samples.setdefault((kinds[name], labels.get('pod')), {})[int(ms)] = float(value)


def served(args, path):
    return json.loads(subprocess.check_output(['kubectl', '--kubeconfig', args.kubeconfig, 'get', '--raw', '/apis/metrics.k8s.io/v1beta1/' + path]))


def compare(kubelet, key, item, usage, problems):
    """Returns whether both ends of the window were on record."""
    end = datetime.datetime.fromisoformat(item['timestamp'].replace('Z', '+00:00')).timestamp()
    window = duration(item['window'])
    with kubelet.lock:
        cpu = dict(kubelet.samples.get(('cpu', key), {}))
        memory = dict(kubelet.samples.get(('memory', key), {}))
    # served timestamps are cut to whole seconds: any sample of that second whose partner lies one window earlier
    for last in (t for t in cpu if end <= t / 1000 < end + 1):
        first = last - round(window * 1000)
        if first not in cpu:
            continue
        expected = (cpu[last] - cpu[first]) / window
        got = quantity(usage['cpu'])
        if abs(got - expected) > 0.05 * expected + 1e-6:
            problems.append(f'{key or "node"}: cpu {got:.6f}, the kubelet\'s counter says {expected:.6f} over {window} s')
        reads = [v for t, v in memory.items() if abs(t - last) <= 20000]
        if quantity(usage['memory']) not in reads:
            problems.append(f'{key or "node"}: memory {usage["memory"]} was never read from the kubelet ({sorted(set(reads))})')
        return True
    return False


def main():
    p = argparse.ArgumentParser()
    for name in ('kubelet', 'ca', 'cert', 'key', 'kubeconfig', 'selector'):
        p.add_argument('--' + name, required=True)
    p.add_argument('--seconds', type=int, default=45)
    args = p.parse_args()

    kubelet = Kubelet(args)
    kubelet.start()
    problems, compared, seen = [], {}, set()
    end = time.monotonic() + args.seconds
    while time.monotonic() < end and kubelet.is_alive():
        items = [(None, i, i['usage']) for i in served(args, 'nodes')['items'] if i['metadata']['name'] == 'node1']
        for i in served(args, 'namespaces/default/pods?labelSelector=' + args.selector.replace('=', '%3D'))['items']:
            items.append((i['metadata']['name'], i, i['containers'][0]['usage']))
        for key, item, usage in items:
            if (key, item['timestamp']) not in seen and compare(kubelet, key, item, usage, problems):
                seen.add((key, item['timestamp']))
                compared[key] = compared.get(key, 0) + 1
        time.sleep(1)
    kubelet.end = True
    print('compared:', {k or 'node1': v for k, v in compared.items()})
    for problem in problems:
        print('DISAGREES', problem)
    if problems or len(compared) < 3 or min(compared.values()) < 3:
        print('too little could be compared' if not problems else f'{len(problems)} figures disagree')
        return 1
    return 0


sys.exit(main())
