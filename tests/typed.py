"""What a type checker must accept, and (`# pyright: ignore`) what it must refuse. `make lint` reads this file."""
# pyright: strict, reportUnnecessaryTypeIgnoreComment=true, reportMissingTypeStubs=false

from __future__ import annotations

from torch import nn

import piste

model = nn.Linear(2, 2)

opt: piste.Optimizer = piste.AdamW(model, lr=1e-3, betas=(0.9, 0.99), weight_decay=0.1)
piste.AdamW(model.parameters(), 1e-3)
piste.Muon(model, lr=0.02, momentum=0.9, nesterov=False)
piste.Muon(model, lr=0.02, rest=piste.AdamW.group(lr=3e-4))
piste.AdamW(model, lr=1e-3, guard="skip")
chain: piste.Chain = piste.SOAP.chain(lr=3e-3, precondition_frequency=20)

piste.AdamW(model, lrr=1e-3)  # pyright: ignore
piste.AdamW(model, lr="fast")  # pyright: ignore
piste.Lion(model, eps=1e-8)  # pyright: ignore
piste.SOAP.chain(precondition_frequency="often")  # pyright: ignore
