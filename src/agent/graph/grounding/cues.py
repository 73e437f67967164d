"""The words and signs around a number that say how it is meant: compared, added, shared, rounded, offered, a length, money. Pure."""

from __future__ import annotations

import re

from agent.graph.grounding.number_words import MONTHS

COMPARED = re.compile(
    r"differ|more|less|fewer|higher|lower|increas|decreas|gr[eo]w|rose|ris(?:e|ing)|f[ae]ll|drop|\bup\b|down|gap|ahead|behind|between|"
    r"than|versus|\bvs\b|left|remain|short|exceed|above|below|chang|gain|loss|lost|\bnet\b|minus|margin|apart|sav(?:e|ing)|"
    r"discount|extra|other|rest|surplus|excess|over\b|under\b|later|earlier|longer|older|younger|reduc|declin|\+|\u2212|- ",
    re.IGNORECASE,
)
ADDED = re.compile(
    r"total|together|combin|\bsum|both|plus|altogether|overall|in all|and|\+|=|account|make up|either", re.IGNORECASE
)
ENGLISH = re.compile(r"\b(?:the|of|are|is|and|have|has|there|it|you|with|for)\b", re.IGNORECASE)
SHARED = re.compile(
    r"averag|mean|\bper\b|\ban? (?:hour|day|night|week|month|year|quarter|person|head|piece|unit)\b|each|typical|ratio|times|twice|\bfold|as (?:many|much)|share|proportion|rate|of (?:all|the)|\u00f7|/|\bx\b|\u00d7",
    re.IGNORECASE,
)
LOOSE = re.compile(
    r"(?:\b(?:about|around|approx\w*\.?|roughly|nearly|almost|over|more than|under|less than|at least|some|up to|just|close to|circa|ca\.|rund|etwa|ungef\u00e4hr|knapp|environ|unos?|unas?|close on|well over|fewer than|upwards? of|close)|[~\u2248])\s*(?:over |under |above |below )?(?:a |an )?[$€£]?\s*$",
    re.IGNORECASE,
)
OFFER = re.compile(
    r"would you like|want me to|shall i|should i|let me know|do you want|if you(?:'d)? (?:like|want|prefer|wish)|i can (?:also )?(?:show|list|break|run|narrow|give|look|"
    r"filter|page|fetch|export|continue|do)|you (?:can|could|may) |for example|e\.g\.|for instance|such as|try |\bnormal(?:ly)?\b|usual(?:ly)?|by default|in general|generally|by definition|typically|\bdefaults? |\b(?:if|unless|should|would|could|might|must|expect|"
    r"recommend|consider|suggest|rarely|probably|likely|rule of thumb|hints?|as soon as)\b|['\u2019]d\b",
    re.IGNORECASE,
)  # fmt: skip
CUT_SHORT = re.compile(
    r"first|least|more|over|show|list|truncat|limit|cap|cut|only|partial|\+|display|page|beyond|further|\bsaw\b|\bsee\b|got|return|fetch|read\b|came back",
    re.IGNORECASE,
)
TIME_UNIT = re.compile(
    r"^\W{0,3}(?:(?:an? |per |each |every |/ ?))?(?:full |whole |calendar |business |working )?(?:ms\b|millisec|sec|s\b|min|h\b|hours?|hrs?\b|days?|d\b|weeks?|months?|quarters?|years?|yrs?\b|decades?|[kmgt]i?b\b|bytes?)",
    re.IGNORECASE,
)
MONEY = re.compile(r"[$€£¥]\s*$|\b[A-Z]{3}\s$")
MONEY_AFTER = re.compile(r"\s?(?:[$€£¥]|(?:EUR|USD|GBP|CHF|euros?|dollars?|pounds?|francs?)\b)")
# So many shorter periods are in a longer one; a working day has 8 hours, and a working week 5 days.
PERIOD = re.compile(
    r"\b(?:years?|yearly|months?|monthly|weeks?|weekly|days?|daily|hours?|hourly|quarter\w*|annual\w*|jahr\w*|monat\w*|woche\w*|tage?|täglich|stunden?|"
    r"ans|années?|mois|semaines?|jours?|heures?|años?|mes|meses|semanas?|d[íi]as?|horas?)\b",
    re.IGNORECASE,
)
AGE = re.compile(
    r"\b(?:turn(?:s|ed)?|aged?|old|birthday|anniversary|days?|weeks?|years?|tage?|jahre?|jours?|ans|d[íi]as?|años?|giorni|anni|dagen|jaar)\b",
    re.IGNORECASE,
)
PERIODS = (12, 52, 52 / 12, 365, 365 / 12, 7, 4, 3, 24, 60, 8, 5, 1)
YEARS = range(1900, 2100)
BEFORE_YEAR = re.compile(
    rf"(?:\b(?:in|since|until|till|from|by|of|before|after|through|early|late|mid|for|and|to|{'|'.join(MONTHS)})|[(\u2013-])\.?\s*$",
    re.IGNORECASE,
)
GENERAL = re.compile(
    r"\b(?:how many (?:days|weeks|hours|minutes|seconds|months|years|bytes|bits)|mean(?:s|ing)?|difference|explain|how (?:do|can|should|would) (?:i|we|you|one)|how to|what(?:'s| is| are| does) an?|why|should (?:i|we)|best practice|syntax|example)\b",
    re.IGNORECASE,
)
ABOUT_DATA = re.compile(
    r"\b(?:how (?:many|much)|our|ours|my|we|total|count|list|show|revenue|number of|average|combien|wie ?viele?|unsere?|cuánt[oa]s?|quant[oiae]s?|hoeveel|nos|notre|nuestr\w*|"
    r"according to|data|database|tables?|results?|records?|rows?|(?:you|we|i) (?:have|see|found|counted))\b|多少|几",
    re.IGNORECASE,
)
UNITS = (
    60,
    3600,
    86_400,
    24,
    1440,
    1000,
    60_000,
    3_600_000,
    7,
    30,
    30.44,
    365,
    365.25,
    12,
    1024,
    1024**2,
    1024**3,
    1e6,
    1e9,
)
SHORT_UNITS = frozenset({"ms", "s", "h", "d", "min", "kb", "mb", "gb", "tb"})
LINE_OF_LIST = re.compile(r"^\s*(?:[-*•|]|\d{1,3}[.)])")
SENTENCE = re.compile(r"(?<=[.!?;])\s+|\n")
PERCENT = re.compile(r"(?<!\d)(\d{1,15}(?:[.,]\d+)?)\s?(?:%|percent)")
PART_OF = re.compile(r"(?<![\d.,])(?P<part>\d{1,3}) (?:in|out of|to) (?P<whole>\d{1,3})(?![\d.,])")
PHONE = re.compile(r"(?<![\w.,])\+?\(?\d(?:[ ()/.-]{0,2}\d){6,14}(?!\w)")
