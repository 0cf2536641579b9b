"""Invented values by which the parameters of templates are shown before there is a real message.

They are Indonesian like the texts that they stand in; a template may have others of its own
(`sample_values`).
"""

SAMPLES = {
    "partner_name": "Siti Rahmawati",
    "applicant_name": "Siti Rahmawati",
    "nama_pemohon": "Siti Rahmawati",
    "nama_pejabat": "Drs. Bambang Santoso",
    "permit_type": "Izin Usaha Mikro Kecil",
    "permit_type_name": "Izin Usaha Mikro Kecil",
    "jenis_izin": "Izin Usaha Mikro Kecil",
    "permit_number": "503/0123/IUMK/2026",
    "permit_number_new": "503/0456/IUMK/2026",
    "registration_id": "REG-2026-00123",
    "pendaftaran_id": "REG-2026-00123",
    "status": "Disetujui",
    "status_lama": "Diproses",
    "status_baru": "Disetujui",
    "timestamp": "17-08-2026 09:30",
    "issue_date": "17-08-2026",
    "start_date": "17-08-2026",
    "expiry_date": "17-08-2027",
    "remaining_days": "30",
    "validity_period": "1 tahun",
    "waktu_pending": "2 hari 5 jam",
    "jumlah": "3",
    "download_link": "https://sicantik.example.id/download/REG-2026-00123",
    "renewal_link": "https://sicantik.example.id/renewal/REG-2026-00123",
    "detail_link": "https://sicantik.example.id/permit/REG-2026-00123",
    "approval_link": "https://sicantik.example.id/web#id=123",
    "link_dashboard": "https://sicantik.example.id/web",
    "contact_dpmptsp": "(021) 5000 0000",
}
