"""The codes of countries (ISO 3166-1 alpha-2 and alpha-3) by their English names: people say Germany, and tables hold DE."""

from __future__ import annotations

_COUNTRIES = """
AE ARE united arab emirates,AF AFG afghanistan,AL ALB albania,AM ARM armenia,AO AGO angola,AR ARG argentina,AT AUT austria,AU AUS australia,
AZ AZE azerbaijan,BA BIH bosnia and herzegovina,BD BGD bangladesh,BE BEL belgium,BG BGR bulgaria,BH BHR bahrain,BO BOL bolivia,BR BRA brazil,
BW BWA botswana,BY BLR belarus,CA CAN canada,CH CHE switzerland,CI CIV ivory coast,CL CHL chile,CM CMR cameroon,CN CHN china,CO COL colombia,
CR CRI costa rica,CU CUB cuba,CY CYP cyprus,CZ CZE czechia,CZ CZE czech republic,DE DEU germany,DK DNK denmark,DO DOM dominican republic,
DZ DZA algeria,EC ECU ecuador,EE EST estonia,EG EGY egypt,ES ESP spain,ET ETH ethiopia,FI FIN finland,FR FRA france,GB GBR united kingdom,
GB GBR uk,GB GBR great britain,GE GEO georgia,GH GHA ghana,GR GRC greece,GT GTM guatemala,HK HKG hong kong,HN HND honduras,HR HRV croatia,
HU HUN hungary,ID IDN indonesia,IE IRL ireland,IL ISR israel,IN IND india,IQ IRQ iraq,IR IRN iran,IS ISL iceland,IT ITA italy,JM JAM jamaica,
JO JOR jordan,JP JPN japan,KE KEN kenya,KH KHM cambodia,KR KOR south korea,KW KWT kuwait,KZ KAZ kazakhstan,LB LBN lebanon,LI LIE liechtenstein,
LK LKA sri lanka,LT LTU lithuania,LU LUX luxembourg,LV LVA latvia,MA MAR morocco,MC MCO monaco,MD MDA moldova,ME MNE montenegro,
MG MDG madagascar,MK MKD north macedonia,MN MNG mongolia,MT MLT malta,MU MUS mauritius,MX MEX mexico,MY MYS malaysia,NA NAM namibia,
NG NGA nigeria,NI NIC nicaragua,NL NLD netherlands,NO NOR norway,NP NPL nepal,NZ NZL new zealand,OM OMN oman,PA PAN panama,PE PER peru,
PH PHL philippines,PK PAK pakistan,PL POL poland,PT PRT portugal,PY PRY paraguay,QA QAT qatar,RO ROU romania,RS SRB serbia,RU RUS russia,
RW RWA rwanda,SA SAU saudi arabia,SE SWE sweden,SG SGP singapore,SI SVN slovenia,SK SVK slovakia,SN SEN senegal,SV SLV el salvador,
TH THA thailand,TN TUN tunisia,TR TUR turkey,TW TWN taiwan,TZ TZA tanzania,UA UKR ukraine,UG UGA uganda,US USA united states,US USA usa,
UY URY uruguay,UZ UZB uzbekistan,VE VEN venezuela,VN VNM vietnam,ZA ZAF south africa,ZM ZMB zambia,ZW ZWE zimbabwe
"""
_CODES = {name: (short, long) for short, long, name in (one.strip().split(" ", 2) for one in _COUNTRIES.split(","))}


def country_codes(name: str) -> tuple[str, ...]:
    """Return the codes of a country, the short one first; nothing for a name that is none."""
    return _CODES.get(" ".join(name.casefold().split()).removeprefix("the "), ())
