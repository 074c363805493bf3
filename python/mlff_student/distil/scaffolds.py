"""The tables that molecules are composed of.

`*` is a place for any substituent, `[*:1]` (on nitrogen, oxygen or sulfur) for those that begin
with carbon. Places that stay empty carry hydrogen. Acyclic scaffolds take acyclic substituents
only, as do rings, so a molecule has the rings of its scaffold and no others.
"""

from __future__ import annotations

RINGS = """
cyclopropane            *C1CC1*
cyclobutane             *C1CCC1*
cyclopentane            *C1CCC(*)C1
cyclohexane             *C1CCC(*)CC1
cycloheptane            *C1CCCCCC1
cyclopentene            *C1=CCC(*)C1
cyclohexene             *C1=CCC(*)CC1
cyclohexadiene          *C1=CC=CC(*)C1
norbornane              *C1CC2CC1CC2*
bicyclopentane          *C12CC(*)(C1)C2
decalin                 *C1CCC2CCCCC2C1
adamantane              *C12CC3CC(CC(C3)C1)C2
indane                  *c1ccc2CCC(*)c2c1
tetralin                *c1ccc2CCCCc2c1
cyclopentanone          *C1CCC(*)C1=O
cyclohexanone           *C1CCC(=O)C(*)C1
cyclohexenone           *C1=CC(=O)CC(*)C1
cyclobutanone           *C1CC(=O)C1
oxirane                 *C1OC1*
oxetane                 *C1COC1*
tetrahydrofuran         *C1CCC(*)O1
tetrahydropyran         *C1CCC(*)CO1
dioxane                 *C1COC(*)CO1
dioxolane               *C1COC(*)O1
pyranose                *C1OC(CO)C(O)C(O)C1O
furanose                *C1OC(CO)C(*)C1O
deoxyribose             *C1CC(O)C(CO)O1
aziridine               *C1CN1[*:1]
azetidine               *C1CN([*:1])C1
pyrrolidine             *C1CCN([*:1])C1
piperidine              *C1CCN([*:1])CC1
piperazine              *C1CN([*:1])CCN1[*:1]
morpholine              *C1CN([*:1])CCO1
azepane                 *C1CCCCCN1[*:1]
thiirane                *C1CS1
thietane                *C1CSC1
thiolane                *C1CCC(*)S1
thiane                  *C1CCSCC1*
dithiane                *C1SCCCS1
thiomorpholine          *C1CSCCN1[*:1]
sulfolane               *C1CCS(=O)(=O)C1
quinuclidine            *C1CN2CCC1CC2
pyrrolidone             *C1CCC(=O)N1[*:1]
piperidone              *C1CCC(=O)N([*:1])C1
beta-lactam             *C1CC(=O)N1[*:1]
caprolactam             *C1CCCCC(=O)N1[*:1]
butyrolactone           *C1CCC(=O)O1
valerolactone           *C1CCCC(=O)O1
propiolactone           *C1CC(=O)O1
succinimide             *C1CC(=O)N([*:1])C1=O
maleimide               *C1=CC(=O)N([*:1])C1=O
maleic anhydride        *C1=C(*)C(=O)OC1=O
hydantoin               *C1C(=O)NC(=O)N1[*:1]
imidazolidinone         *C1CN([*:1])C(=O)N1
oxazolidinone           *C1COC(=O)N1[*:1]
ethylene carbonate      *C1COC(=O)O1
thiazolidine            *C1CSCN1[*:1]
diketopiperazine        *C1NC(=O)CNC1=O
cyclic sulfonamide      *C1CCS(=O)(=O)N1[*:1]
benzene                 *c1ccc(*)cc1
benzene ortho           *c1ccccc1*
benzene meta            *c1cccc(*)c1
naphthalene             *c1ccc2cc(*)ccc2c1
azulene                 *c1ccc2cccc2cc1
styrene oxide           *c1ccc(cc1)C1CO1
phenylcyclopropane      *c1ccc(cc1)C1CC1
pyridine                *c1ccc(*)nc1
pyridazine              *c1ccc(*)nn1
pyrimidine              *c1ncc(*)cn1
pyrazine                *c1cnc(*)cn1
triazine                *c1ncnc(*)n1
pyridone                *c1ccc(=O)n([*:1])c1
uracil                  *c1cn([*:1])c(=O)[nH]c1=O
cytosine                *c1cn([*:1])c(=O)nc1N
pyrrole                 *c1ccc(*)n1[*:1]
furan                   *c1ccc(*)o1
thiophene               *c1ccc(*)s1
imidazole               *c1cn([*:1])c(*)n1
pyrazole                *c1cc(*)n([*:1])n1
oxazole                 *c1coc(*)n1
isoxazole               *c1cc(*)on1
thiazole                *c1csc(*)n1
isothiazole             *c1cc(*)sn1
triazole                *c1cn([*:1])nn1
tetrazole               *c1nnn([*:1])n1
oxadiazole              *c1nnc(*)o1
thiadiazole             *c1nnc(*)s1
indole                  *c1ccc2c(c1)c(*)cn2[*:1]
benzofuran              *c1ccc2oc(*)cc2c1
benzothiophene          *c1ccc2sc(*)cc2c1
benzimidazole           *c1ccc2[nH]c(*)nc2c1
benzoxazole             *c1ccc2oc(*)nc2c1
benzothiazole           *c1ccc2sc(*)nc2c1
indazole                *c1ccc2cnn([*:1])c2c1
quinoline               *c1ccc2ncc(*)cc2c1
isoquinoline            *c1ccc2cnccc2c1
quinoxaline             *c1ccc2nccnc2c1
quinazoline             *c1ncnc2ccccc12
naphthyridine           *c1ccc2cccnc2n1
purine                  *c1ncc2ncn([*:1])c2n1
imidazopyridine         *c1ccn2cc(*)nc2c1
coumarin                *c1ccc2oc(=O)cc(*)c2c1
chromone                *c1ccc2occc(=O)c2c1
chromane                *c1ccc2OCCCc2c1
benzodioxole            *c1ccc2OCOc2c1
phthalimide             *c1ccc2C(=O)N([*:1])C(=O)c2c1
indolinone              *c1ccc2NC(=O)Cc2c1
benzoquinone            *C1=CC(=O)C(*)=CC1=O
naphthoquinone          *C1=CC(=O)c2ccccc2C1=O
tropone                 *c1cccccc1=O
biphenyl                *c1ccc(cc1)-c1ccc(*)cc1
2-phenylpyridine        *c1ccc(cc1)-c1ccccn1
bipyridine              *c1ccnc(c1)-c1ccccn1
2-phenylthiophene       *c1ccc(s1)-c1ccccc1
3-phenylfuran           *c1occc1-c1ccccc1
phenylimidazole         *c1ccc(cc1)-n1ccnc1
phenyloxadiazole        *c1nnc(o1)-c1ccccc1
bithiophene             *c1ccc(s1)-c1cccs1
phenylpyrimidine        *c1cnc(nc1)-c1ccccc1
diphenyl ether          *c1ccc(cc1)Oc1ccccc1
diphenyl sulfide        *c1ccc(cc1)Sc1ccccc1
diphenylamine           *c1ccc(cc1)N([*:1])c1ccccc1
diphenylmethane         *c1ccc(cc1)Cc1ccccc1
benzophenone            *c1ccc(cc1)C(=O)c1ccccc1
benzanilide             *c1ccc(cc1)C(=O)Nc1ccccc1
phenyl benzoate         *c1ccc(cc1)C(=O)Oc1ccccc1
stilbene                *c1ccc(cc1)C=Cc1ccccc1
tolane                  *c1ccc(cc1)C#Cc1ccccc1
azobenzene              *c1ccc(cc1)N=Nc1ccccc1
benzylideneaniline      *c1ccc(cc1)C=Nc1ccccc1
diphenyl sulfone        *c1ccc(cc1)S(=O)(=O)c1ccccc1
phenylpiperidine        *C1CCN(CC1)c1ccccc1
phenylmorpholine        *c1ccc(cc1)N1CCOCC1
benzoylpyrrolidine      *C1CCN(C1)C(=O)c1ccccc1
furoylpiperidine        *C1CCN(CC1)C(=O)c1ccco1
nicotinanilide          *c1ccc(cc1)NC(=O)c1cccnc1
cyclopropyl amide       *C1CC1C(=O)NC1CC1
cyclohexylbenzene       *C1CCC(CC1)c1ccccc1
tosyl pyrrole           *c1ccc(cc1)S(=O)(=O)n1cccc1
nucleoside              *c1cn(C2CCC(CO)O2)c(=O)[nH]c1=O
spiro ether             *C1CCC2(C1)CCO2
spiroheptane            *C1CC2(C1)CNC2
tropane                 *C1CC2CCC(C1)N2[*:1]
carbazole               *c1ccc2[nH]c3ccccc3c2c1
phenothiazine           *c1ccc2Nc3ccccc3Sc2c1
fluorene                *c1ccc2Cc3ccccc3-c2c1
anthracene              *c1ccc2cc3ccccc3cc2c1
"""

CHAINS = """
propane                 *CCC*
butane                  *CCCC*
hexane                  *CCCCCC*
isobutane               *CC(C)C*
neopentane              *CC(C)(C)C*
propene                 *CC=C*
isoprene                *C=CC(C)=C*
allene                  *C=C=C*
butyne                  *CC#CC*
diacetylene             *C#CC#C*
ethoxyethane            *CCOCC*
acetal                  *CC(OC)OC
glycol                  *CC(O)CO
peroxide                *CCOOCC*
ketone                  *CCC(=O)CC*
diketone                *CC(=O)C(=O)C*
enone                   *C=CC(=O)C*
aldehyde                *CCC=O
acid                    *CC(*)C(=O)O
ester                   *CC(=O)OCC*
malonate                *C(C(=O)OC)C(=O)OC
anhydride               *CC(=O)OC(=O)C*
carbonate               *COC(=O)OC*
amide                   *CC(=O)NCC*
tertiary amide          *CCC(=O)N(C)C*
thioamide               *CC(=S)NC*
urea                    *CNC(=O)NC*
thiourea                *CNC(=S)NC*
carbamate               *COC(=O)NC*
thiocarbamate           *CSC(=O)NC*
imide                   *CC(=O)NC(=O)C*
hydroxamic acid         *CCC(=O)NO
hydrazide               *CC(=O)NNC*
hydrazine               *CN(C)NC*
hydroxylamine           *CN(C)OC*
amine                   *CCNCC*
tertiary amine          *CCN(C)CC*
amino acid              *CC(N)C(=O)O
dipeptide               *CNC(=O)C(*)NC(C)=O
alanine peptide         CC(=O)NC(C*)C(=O)NC
imine                   *CC=NC*
oxime                   *CC(C)=NO
amidine                 *CC(=N)N
guanidine               *CNC(=N)N
azo                     *CN=NC*
azide                   *CCN=[N+]=[N-]
nitrile                 *CC(*)C#N
acrylonitrile           *C=C(*)C#N
isocyanate              *CCN=C=O
isothiocyanate          *CCN=C=S
nitroalkane             *CC(*)[N+](=O)[O-]
nitrate                 *CCO[N+](=O)[O-]
thiol                   *CC(*)S
sulfide                 *CCSCC*
disulfide               *CSSC*
thioester               *CC(=O)SC*
sulfoxide               *CCS(=O)C*
sulfone                 *CCS(=O)(=O)C*
sulfonamide             *CS(=O)(=O)NC*
sulfonyl chloride       *CCS(=O)(=O)Cl
sulfonic ester          *CS(=O)(=O)OC*
acyl chloride           *CCC(=O)Cl
acyl fluoride           *CCC(=O)F
trifluoroethane         *CC(F)(F)F
tetrafluoroethylene     *C(F)=C(F)*
perfluoroalkane         *C(F)(F)C(F)(F)C*
chloroform              *CC(Cl)(Cl)Cl
dichloroethylene        *C(Cl)=C(Cl)*
vinyl ether             *C=COC*
enamine                 *C=CN(C)C
sugar chain             *CC(O)C(O)C(O)CO
cyanamide               *CN(C)C#N
thiocyanate             *CCSC#N
sulfamide               *CNS(=O)(=O)NC
orthoester              *CC(OC)(OC)OC
"""

# Scaffolds for training alone: the wider it is, the less is new in what is held out. Molecules of
# theirs that share a ring system, or are one, with what is held out are left out.
TRAINING = """
cyclooctane             *C1CCCCCCC1
cyclobutene             *C1C=CC1
cyclopropene            *C1=CC1
bicyclooctane           *C1CC2CCC1CC2
cubane                  *C12C3C4C1C5C2C3C45
norbornene              *C1CC2CC1C=C2
oxanorbornane           *C1CC2CCC1O2
azanorbornane           *C1CC2CCC1N2[*:1]
thianorbornane          *C1CC2CCC1S2
spiropentane            *C1CC12CC2
spirononane             *C1CCC2(C1)CCCC2
hydrindane              *C1CCC2CCCC2C1
dihydrofuran            *C1=COCC1
dihydropyran            *C1=COCCC1
4-pyranone              *c1cc(=O)cco1
2-pyranone              *c1ccc(=O)oc1
4-pyridone              *c1cc(=O)ccn1[*:1]
pyridazinone            *c1ccc(=O)[nH]n1
pyrimidinone            *c1cc(=O)[nH]cn1
dihydrouracil           *C1CC(=O)NC(=O)N1
barbiturate             *C1C(=O)NC(=O)NC1=O
1,2,4-triazole          *c1nc(*)n([*:1])n1
1,2,4-oxadiazole        *c1noc(*)n1
1,2,4-thiadiazole       *c1nsc(*)n1
1,2,3-thiadiazole       *c1csnn1
furazan                 *c1nonc1*
tetrazine               *c1nnc(*)nn1
1,2,4-triazine          *c1cnnc(*)n1
isoxazoline             *C1CC(*)=NO1
imidazoline             *C1CN=C(*)N1
oxazoline               *C1COC(*)=N1
thiazoline              *C1CSC(*)=N1
pyrazoline              *C1CC(*)=NN1
pyrroline               *C1CCC(*)=N1
dihydropyridine         *C1C=CN([*:1])C=C1
tetrahydropyridine      *C1CC=C(*)CN1
isoindoline             *c1ccc2CN([*:1])Cc2c1
indoline                *c1ccc2c(c1)CCN2[*:1]
tetrahydroquinoline     *c1ccc2NCCCc2c1
tetrahydroisoquinoline  *c1ccc2CN([*:1])CCc2c1
benzoxazine             *c1ccc2OCCNc2c1
benzotriazole           *c1ccc2c(c1)nnn2[*:1]
benzothiadiazole        *c1ccc2nsnc2c1
cinnoline               *c1ccc2nnccc2c1
phthalazine             *c1ccc2cnncc2c1
pteridine               *c1cnc2ncncc2n1
azaindole               *c1cnc2[nH]ccc2c1
pyrazolopyrimidine      *c1cnc2ccnn2c1
imidazothiazole         *c1cn2ccsc2n1
thienothiophene         *c1cc2sccc2s1
thienopyridine          *c1ccc2sccc2n1
furopyridine            *c1ccc2occc2n1
phthalide               *c1ccc2COC(=O)c2c1
isatin                  *c1ccc2NC(=O)C(=O)c2c1
saccharin               *c1ccc2C(=O)NS(=O)(=O)c2c1
quinolone               *c1ccc2c(c1)[nH]ccc2=O
quinazolinone           *c1ccc2c(c1)nc[nH]c2=O
xanthene                *c1ccc2c(c1)Cc1ccccc1O2
acridine                *c1ccc2nc3ccccc3cc2c1
dibenzofuran            *c1ccc2oc3ccccc3c2c1
dibenzothiophene        *c1ccc2sc3ccccc3c2c1
phenanthrene            *c1ccc2c(c1)ccc1ccccc12
indene                  *c1ccc2C=CCc2c1
fulvene                 *C=C1C=CC=C1
cyclopentadiene         *C1C=CC(*)=C1
cyclooctatetraene       *C1=CC=CC=CC=C1
cycloheptatriene        *C1C=CC=CC=C1
dithiole                *C1SC=CS1
thiazolidinedione       *C1SC(=O)NC1=O
rhodanine               *C1SC(=S)NC1=O
oxathiane               *C1COCCS1
trioxane                *C1OCOCO1
dioxin                  *C1=COC=CO1
lactide                 *C1OC(=O)C(*)OC1=O
glutarimide             *C1CC(=O)NC(=O)C1
diazirine               *C1N=N1
oxaziridine             *C1ON1[*:1]
sultone                 *C1CCS(=O)(=O)O1
morpholinone            *C1COCC(=O)N1[*:1]
piperazinone            *C1CN([*:1])CC(=O)N1
phenylpyrazole          *c1ccc(cc1)-n1cccn1
phenyloxazole           *c1ccc(cc1)-c1cnco1
phenyltriazole          *c1ccc(cc1)-n1ccnn1
phenyltetrazole         *c1ccc(cc1)-c1nnn[nH]1
4-phenylpyridine        *c1ccc(cc1)-c1ccncc1
bifuran                 *c1ccc(o1)-c1ccco1
furylthiophene          *c1ccc(o1)-c1cccs1
phenylpyrrole           *c1ccc(cc1)-n1cccc1
benzylpiperidine        *c1ccc(cc1)CN1CCCCC1
dibenzyl ether          *c1ccc(cc1)COCc1ccccc1
dicyclopropyl ketone    *C1CC1C(=O)C1CC1
diphenylurea            *c1ccc(cc1)NC(=O)Nc1ccccc1
sulfonanilide           *c1ccc(cc1)S(=O)(=O)Nc1ccccc1
chalcone                *c1ccc(cc1)C(=O)C=Cc1ccccc1
dipyridylamine          *c1ccnc(c1)Nc1ccccn1
thienyl ketone          *c1ccc(s1)C(=O)c1cccs1
pyrrolidinylpyridine    *c1ccc(nc1)N1CCCC1
cyclopentylfuran        *C1CCC(C1)c1ccco1
pentane                 *CCCCC*
octane                  *CCCCCCCC
butadiene               *C=CC=C*
hexatriene              *C=CC=CC=C*
enyne                   *C#CC=C*
cumulene                *C=C=C=C*
glyme                   *CCOCCOCC*
hemiacetal              *CC(O)OC*
ketal                   *CC(C)(OC)OC
hydroperoxide           *CCOO
hydroxy ester           *CC(O)C(=O)OC
amino ester             *CC(N)C(=O)OC
glycinamide             *CC(N)C(=O)NC
serine amide            *NC(=O)C(CO)NC(C)=O
cysteine amide          *NC(=O)C(CS)NC(C)=O
tetramethylurea         *CN(C)C(=O)N(C)C*
semicarbazone           *CC=NNC(N)=O
hydrazone               *CC=NNC*
acylhydrazone           *CC(=O)NN=C*
nitrosamine             *CN(C)N=O
nitramine               *CN(C)[N+](=O)[O-]
nitrite                 *CCON=O
nitroso                 *CCN=O
amidoxime               *CC(N)=NO
carbodiimide            *CN=C=NC*
isocyanide              *CC[N+]#[C-]
diazo                   *C=[N+]=[N-]
sulfenamide             *CSNC*
sulfinamide             *CS(=O)NC*
sulfinate               *CS(=O)OC*
sulfite                 *COS(=O)OC*
sulfate                 *COS(=O)(=O)OC*
sulfamate               *COS(=O)(=O)NC
sulfonylurea            *CS(=O)(=O)NC(=O)NC
thiosulfonate           *CS(=O)(=O)SC*
trisulfide              *CSSSC*
dithiocarbamate         *CSC(=S)NC*
xanthate                *COC(=S)SC*
thionoester             *CC(=S)OC*
thioketone              *CC(=S)C*
thioacetal              *CC(SC)SC
dithioester             *CC(=S)SC*
chlorohydrin            *CC(O)CCl
fluoropropene           *C(F)=CC*
chloroalkyne            *CC#CCl
dichloroethane          *CC(Cl)(Cl)C*
chlorofluoroethane      *C(F)(Cl)C*
hexafluoroisopropyl     *OC(C(F)(F)F)C(F)(F)F
trifluoroacetamide      *CNC(=O)C(F)(F)F
trifluoroacetate        *COC(=O)C(F)(F)F
pentafluorosulfane      *CS(F)(F)(F)(F)F
sulfonyl fluoride       *CCS(=O)(=O)F
chloroformate           *COC(=O)Cl
carbamoyl chloride      *CN(C)C(=O)Cl
enol                    *CC(O)=C*
enol ester              *CC(=O)OC=C*
propargyl ether         *C#CCOC*
aminal                  *CN(C)CN(C)C*
acylguanidine           *CC(=O)NC(=N)N
malonamide              *CNC(=O)CC(=O)NC*
oxalamide               *CNC(=O)C(=O)NC*
acrylamide              *C=CC(=O)NC*
acrylate                *C=CC(=O)OC*
propiolate              *C#CC(=O)OC*
methacrylate            *CC(=C)C(=O)OC
polyamine               *CNCCNCC*
amino alcohol           *CNCCO*
3-azetidinone           *C1C(=O)CN1[*:1]
3-oxetanone             *C1OCC1=O
thiolactone             *C1CC(=O)S1
azetidinethione         *C1CN([*:1])C1=S
oxetene                 *C1=CCO1
thiete                  *C1=CCS1
cyclobutenone           *C1=CC(=O)C1
cyclobutanedione        *C1CC(=O)C1=O
squaric ester           *C1=C(*)C(=O)C1=O
methyleneoxetane        *C1CC(=C)O1
methylenecyclobutane    *C1CC(=C)C1
methylenecyclopropane   *C1CC1=C
cyclopropanone          *C1CC1=O
cyclopropenone          *C1=CC1=O
aziridinone             *C1N([*:1])C1=O
oxaspirohexane          *C1CC2(C1)CO2
bicyclobutane           *C12CC1C2
bicyclohexane           *C1CC2CC2C1
epoxycyclopentane       *C1CC2OC2C1
azabicyclohexane        *C1CC2NC2C1
cyclooctyne             *C1CCCC#CCC1
1,4-cyclohexadiene      *C1C=CCC=C1
o-benzoquinone          *C1=CC=CC(=O)C1=O
quinone methide         *C1=CC(=C)C=CC1=O
quinone imine           *C1=CC(=N)C=CC1=O
cyclopentadienone       *C1=CC=CC1=O
cyclopentenone          *C1=CC(=O)CC1
cycloheptadienone       *C1=CC=CCCC1=O
azepine                 *C1=CC=CN([*:1])C=C1
oxepine                 *C1=CC=COC=C1
thiepine                *C1=CC=CSC=C1
diazepine               *C1=CN=CC=CN1
4H-pyran                *C1C=COC=C1
4H-thiopyran            *C1C=CSC=C1
thiopyranone            *c1cc(=O)ccs1
dithiin                 *C1=CSC=CS1
oxathiolane             *C1COCS1
1,2-dithiolane          *C1CSSC1
1,2-dithiane            *C1CCSSC1
1,2-dioxolane           *C1CCOO1
dioxetane               *C1COO1
trithiane               *C1SCSCS1
triazoline              *C1CN=NN1[*:1]
diazabicycloheptene     *C12CCC(C1)N=N2
pyrazolidine            *C1CCNN1[*:1]
isoxazolidine           *C1CCN([*:1])O1
pyrazolone              *C1C(=O)NN=C1*
triazolinone            *c1n[nH]c(=O)[nH]1
oxazolone               *C1N=C(*)OC1=O
isoxazolone             *C1C(=O)ON=C1*
thiohydantoin           *C1C(=O)NC(=S)N1
thiouracil              *c1c[nH]c(=S)[nH]c1=O
thiopyridone            *c1cc[nH]c(=S)c1
pyridine oxide          *c1cc[n+]([O-])cc1
benzofurazan            *c1ccc2nonc2c1
benzisoxazole           *c1ccc2cnoc2c1
chromene                *c1ccc2OCC=Cc2c1
isochroman              *c1ccc2COCCc2c1
isocoumarin             *c1ccc2C(=O)OC=Cc2c1
indanone                *c1ccc2CCC(=O)c2c1
tetralone               *c1ccc2CCCC(=O)c2c1
anthraquinone           *c1ccc2C(=O)c3ccccc3C(=O)c2c1
fluorenone              *c1ccc2c(c1)C(=O)c1ccccc12
benzocyclobutene        *c1ccc2CCc2c1
benzazepine             *c1ccc2CCNCCc2c1
indolizine              *c1ccn2cccc2c1
imidazopyrimidine       *c1cnc2nccn2c1
triazolopyridine        *c1ccn2cnnc2c1
thiazolopyridine        *c1cnc2scnc2c1
furofuran               *c1cc2occc2o1
pyrrolopyrrole          *c1cc2[nH]ccc2[nH]1
cyclopentapyridine      *c1ccc2CCCc2n1
enediyne                *C#CC=CC#C*
skipped diyne           *C#CCC#C*
vinylallene             *C=CC=C=C*
skipped diene           *C=CCC=C*
divinyl ketone          *C=CC(=O)C=C*
ynone                   *C#CC(=O)C*
ynamine                 *C#CN(C)C*
azine                   *CC=NN=CC*
triazene                *CN=NN(C)C*
nitrosourea             *CN(N=O)C(=O)NC
nitrone                 *CC=[N+](C)[O-]
ketenimine              *C=C=NC*
ketene                  *CC=C=O
acyl azide              *CC(=O)N=[N+]=[N-]
acyl isocyanate         *CC(=O)N=C=O
acyl cyanide            *CC(=O)C#N
malononitrile           *CC(C#N)C#N
imidoyl chloride        *CC(Cl)=NC*
amidrazone              *CC(=N)NN
isourea                 *CNC(=N)OC
isothiourea             *CNC(=N)SC*
imidate                 *CC(=NC)OC*
acyl imine              *CC(=O)N=CC*
oxime ether             *CC=NOC*
oxime ester             *CC=NOC(=O)C*
vinyl sulfide           *C=CSC*
vinyl sulfone           *C=CS(=O)(=O)C*
vinyl chloride          *C=C(Cl)C*
allyl alcohol           *C=CCO*
dienal                  *C=CC=CC=O
ketoester               *CC(=O)C(*)C(=O)OC
peroxyester             *CC(=O)OOC*
peracid                 *CC(=O)OO
thiosulfinate           *CS(=O)SC*
sulfonyl hydrazide      *CS(=O)(=O)NNC*
sulfoximine             *CS(=O)(=N)C*
sulfenyl chloride       *CCSCl
thiocarbonate           *COC(=S)OC*
dithiocarbonate         *CSC(=O)SC*
hydrodisulfide          *CCSS
chloroether             *C(Cl)OC*
geminal diol            *CC(O)(O)C*
cyanohydrin             *CC(O)C#N
aminonitrile            *CC(N)C#N
nitroalkene             *C=C[N+](=O)[O-]
dinitroalkane           *CC([N+](=O)[O-])[N+](=O)[O-]
chloramine              *CN(Cl)C*
hypochlorite            *CCOCl
"""

# Taken as they are, always for training: every student needs them, and they take part in pairs,
# clusters and liquids.
SMALL = """
[H][H] O N F Cl S C CC CCC C=C C#C CC#C C=C=C CO CCO CC(C)O OCCO OO COC CCOCC C=O CC=O CC(C)=O O=C=O
[C-]#[O+] OC=O CC(=O)O COC=O CC(=O)OC O=C(O)C(=O)O C=C=O CN CNC CN(C)C NN NO C#N CC#N N#CC#N N#N
[N-]=[N+]=O NC=O CC(N)=O CNC(C)=O CN(C)C=O NC(N)=O C[N+](=O)[O-] N=C=O O=NO O[N+](=O)[O-] CS CSC
CSSC S=C=S O=C=S O=S=O CS(C)=O CS(C)(=O)=O OS(=O)(=O)O NC(N)=S SS CF C(F)F FC(F)F FC(F)(F)F CCl
ClCCl ClC(Cl)Cl ClC(Cl)(Cl)Cl FC(F)(Cl)Cl ClCl FF FCl ClO FO FN(F)F ClN ClSCl FSF FS(F)(F)(F)(F)F
O=C(F)F O=C(Cl)Cl O=S(Cl)Cl O=S(=O)(F)F ClN(Cl)Cl FC=C ClC=C FC(F)=C(F)F NCC(=O)O SCl SF NF NSN CSCl
CSF CSN CSO FCCl ClC(F)F NC#N C#CC#N C1CC1 C1CO1 C1CN1 C1CS1 c1ccccc1
"""

SUBSTITUENTS = """
F Cl O N S C CC CCC C(C)C C(C)(C)C C=C C#C CC=C CC#C OC OCC OC(C)=O OC(F)(F)F OC=O SC SCC S(C)=O
S(C)(=O)=O S(N)(=O)=O NC N(C)C NC(C)=O NC(N)=O NS(C)(=O)=O [N+](=O)[O-] C#N CC#N C=O C(C)=O C(=O)O
C(=O)OC C(=O)N C(=O)NC C(=O)N(C)C C(=O)Cl C(F)(F)F C(F)F CF CCl CO CCO COC CN CCN CN(C)C CS CSC
CC(=O)O CC(N)=O CC(N)C(=O)O C=CC#N C=NO C(=S)N
"""


def scaffolds(table: str) -> list[tuple[str, str]]:
    """Name and SMILES of each line of a table."""
    return [tuple(line.rsplit(maxsplit=1)) for line in table.split("\n") if line.strip()]
