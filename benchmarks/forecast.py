"""How long forecasts take: one case from its folder, and many plans with many patients.

    python benchmarks/forecast.py CASE [N]

CASE is a planned case. Prints seconds for the first and a later forecast of CASE (read, forecast, write, whole process
warm), for N (10 000) forecasts of values, with a cohort of 2 000 and without, and for 200 cases as folders on the disk.
"""

import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from keyhole.casefile import Case, CaseRecord, PlanRecord
from keyhole.forecast import forecast, forecast_case, operation_of, parse_cohort
from keyhole.forecast.patient import fields_of


def timed(title, work):
    start = time.perf_counter()
    found = work()
    print(f"{title}: {time.perf_counter() - start:.2f} s")
    return found


def own_patients(n, seed=0):
    rng = np.random.default_rng(seed)
    rows = ["patient,arm,stay,infection,dural_tear,revision,stenosis,diabetes,odi_0,odi_12"]
    for k in range(n):
        flags = ",".join(str(int(one)) for one in rng.random(5) < (0.02, 0.05, 0.2, 0.4, 0.2))
        rows.append(f"p{k},{'miss' if k % 2 else 'open'},{rng.gamma(2, 1):.2f},{flags},{rng.uniform(30, 60):.1f},20")
    return parse_cohort("\n".join(rows), "own.csv")


def many(plan, operation, n, cohort):
    rng = np.random.default_rng(1)
    outcomes = 0
    for _ in range(n):
        fields = {name: bool(rng.random() < 0.3) for name in ("diabetes", "hypertension", "revision", "stenosis")}
        patient = {"age": float(rng.integers(20, 90)), "sex": "FM"[int(rng.integers(2))], **fields}
        planned = plan.candidates[int(rng.integers(len(plan.candidates)))]
        outcomes += len(forecast(plan, patient, operation=operation, approach=planned.approach, cohort=cohort).outcomes)
    return outcomes


def folders(source, n):
    with tempfile.TemporaryDirectory() as place:
        made = []
        for k in range(n):
            made.append(Path(place) / f"case{k}")
            made[-1].mkdir()
            for name in ("case.json", "plan.json", "findings.json", "labels.json"):
                shutil.copy(source / name, made[-1])
        timed(f"{n} case folders", lambda: [forecast_case(Case(one)) for one in made])


def main():
    case, n = Case(Path(sys.argv[1])), int(sys.argv[2]) if len(sys.argv) > 2 else 10_000
    timed("first forecast of the case", lambda: forecast_case(case))
    timed("the same again", lambda: forecast_case(case))
    plan = case.read(PlanRecord)
    operation, _ = operation_of(case, plan)
    fields_of(case.read(CaseRecord).patient, None)
    timed(f"{n} plans and patients, literature", lambda: many(plan, operation, n, None))
    own = own_patients(2000)
    timed("first forecast with 2000 own patients", lambda: forecast_case(case, own))
    timed(f"{n} plans and patients, 2000 own", lambda: many(plan, operation, n, own))
    folders(case.path, 200)


if __name__ == "__main__":
    main()
