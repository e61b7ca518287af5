#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares what metrics.k8s.io serves with what the kubelet itself says.

Reads the kubelet's /metrics/resource several times a second beside the served figures. For each served figure the counter's difference over the same window is taken from
those reads: from the very samples where the kubelet shows the same ones to everybody (the node's), interpolated between neighbouring reads where it takes a fresh one
for each reader (containers). Served timestamps are cut to whole seconds, so the window may end anywhere in that second. The CPU must be within 5 %, the
memory equal to a read that brackets the end of the window. A figure waits until the kubelet has shown a later sample. Exits 1 when one disagrees, or when fewer than
3 of the node and 3 of each pod could be compared within twice the time.
"""
import argparse
import bisect
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


def counter_at(samples, times, t):
    """The counter at time t (ms), interpolated between the reads around it; None outside them."""
    i = bisect.bisect_left(times, t)
    if i < len(times) and times[i] == t:
        return samples[t]
    if i == 0 or i == len(times):
        return None
    t0, t1 = times[i - 1], times[i]
    return samples[t0] + (samples[t1] - samples[t0]) * (t - t0) / (t1 - t0)


def expected_rates(cpu, end_ms, window_ms):
    """The rates over windows of that length that end within that second."""
    times = sorted(cpu)
    ends = [t for t in times if end_ms <= t < end_ms + 1000 and t - window_ms in cpu]
    for end in ends or range(end_ms, end_ms + 1000, 50):
        first, last = counter_at(cpu, times, end - window_ms), counter_at(cpu, times, end)
        if first is not None and last is not None:
            yield (last - first) / window_ms * 1000


def compare(kubelet, key, item, usage, problems):
    """Returns whether the window was on record."""
    end_ms = round(datetime.datetime.fromisoformat(item['timestamp'].replace('Z', '+00:00')).timestamp() * 1000)
    window_ms = round(duration(item['window']) * 1000)
    with kubelet.lock:
        cpu = dict(kubelet.samples.get(('cpu', key), {}))
        memory = dict(kubelet.samples.get(('memory', key), {}))
    rates = list(expected_rates(cpu, end_ms, window_ms))
    if not rates or not any(t > end_ms + 1000 for t in memory):
        return False
    got = quantity(usage['cpu'])
    if all(abs(got - r) > 0.05 * r for r in rates):
        problems.append(f'{key or "node"}: cpu {got:.6f}, the kubelet\'s counter says {min(rates):.6f}..{max(rates):.6f} over {window_ms} ms')
    reads = {v for t, v in memory.items() if end_ms - 1000 <= t <= end_ms + 2000}
    if quantity(usage['memory']) not in reads:
        problems.append(f'{key or "node"}: memory {usage["memory"]}, the kubelet said {sorted(reads)}')
    return True


def main():
    p = argparse.ArgumentParser()
    for name in ('kubelet', 'ca', 'cert', 'key', 'kubeconfig', 'selector'):
        p.add_argument('--' + name, required=True)
    p.add_argument('--seconds', type=int, default=45)
    args = p.parse_args()

    kubelet = Kubelet(args)
    kubelet.start()
    problems, compared, figures, done = [], {}, {}, set()
    begun = time.monotonic()

    def enough():
        return len(compared) >= 3 and min(compared.values()) >= 3
    while kubelet.is_alive() and time.monotonic() - begun < (args.seconds if enough() else 2 * args.seconds):
        items = [(None, i, i['usage']) for i in served(args, 'nodes')['items'] if i['metadata']['name'] == 'node1']
        for i in served(args, 'namespaces/default/pods?labelSelector=' + args.selector.replace('=', '%3D'))['items']:
            items.append((i['metadata']['name'], i, i['containers'][0]['usage']))
        for key, item, usage in items:
            figures.setdefault((key, item['timestamp']), (item, usage))
        for figure, (item, usage) in figures.items():
            if figure not in done and compare(kubelet, figure[0], item, usage, problems):
                done.add(figure)
                compared[figure[0]] = compared.get(figure[0], 0) + 1
        time.sleep(1)
    kubelet.end = True
    print('compared:', {k or 'node1': v for k, v in compared.items()})
    for problem in problems:
        print('DISAGREES', problem)
    if problems or not enough():
        print('too little could be compared' if not problems else f'{len(problems)} figures disagree')
        return 1
    return 0


sys.exit(main())
